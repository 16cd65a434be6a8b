import type { Clock } from "../clock.ts";
import type { LockAttempt, LockLease } from "./lock.ts";
import { Attempts } from "./redis-attempts.ts";
import type { RedisClient } from "./redis-client.ts";
import { type Purpose, unreachable, within } from "./redis-limit.ts";
import { ask, type Question, tell } from "./redis-question.ts";
import { ACQUIRE, ACQUIRE_SHARED, EXTEND, RELEASE } from "./redis-scripts.ts";

const CALL_TIMEOUT_TTL_FRACTION = 0.05;
const MIN_CALL_TIMEOUT_MS = 50;
/** How far the server's clock may run faster than ours during one lease. */
const DRIFT_TTL_FRACTION = 0.01;
const DRIFT_MS = 2;

export interface Setup {
  readonly client: RedisClient;
  readonly clock: Clock;
  readonly prefix: string;
  readonly callTimeoutMs: number | undefined;
  readonly replicas: { readonly count: number; readonly timeoutMs: number } | undefined;
  /** Where the release of a key is told. */
  readonly channelOf: ((key: string) => string) | undefined;
}

/** Leases as one Redis keeps them. All throw LOCK_UNREACHABLE. */
export class RedisLeases {
  readonly #setup: Setup;
  readonly #attempts: Attempts;

  constructor(setup: Setup) {
    this.#setup = setup;
    this.#attempts = new Attempts((lease) => tell(this.#releaseOf(lease), setup.client));
  }

  async acquire(lease: LockLease): Promise<LockAttempt> {
    const { client, clock, prefix } = this.#setup;
    const { key, owner, ttlMs, mode } = lease;
    const purpose = this.#purpose("acquire", key, ttlMs);
    const sentAtMs = clock.now();
    const attempt = this.#attempts.begin(lease);
    try {
      const question = {
        script: mode === "shared" ? ACQUIRE_SHARED : ACQUIRE,
        keys: [prefix + key],
        args: [owner, wholeMs(ttlMs)],
      };
      const answer = await ask(question, client, purpose, clock, (late, isLate) => attempt.answered(late === "yes", isLate));
      if (answer !== "yes") return { lease: null, retryAfterMs: this.#retryAfterMs(answer, purpose) };
      await this.#assertReplicated(purpose);
      this.#assertInTime(purpose, ttlMs, sentAtMs);
      return { lease };
    } catch (error) {
      attempt.failed();
      throw error;
    }
  }

  /** By one script, so the keys must all be on one node. Returns an answer for each, in order. */
  async extend(leases: readonly LockLease[]): Promise<boolean[]> {
    const { client, clock, prefix } = this.#setup;
    const ttlMs = Math.min(...leases.map((lease) => lease.ttlMs));
    const purpose = this.#purpose("extend", leases[0]?.key ?? "", ttlMs);
    const sentAtMs = clock.now();
    const keys = leases.map(({ key }) => prefix + key);
    const args = leases.flatMap((lease) => [lease.owner, wholeMs(lease.ttlMs)]);
    const answers = await ask({ script: EXTEND, keys, args }, client, purpose, clock);
    if (!Array.isArray(answers) || answers.length !== leases.length) throw this.#foreign(answers, purpose);
    this.#assertInTime(purpose, ttlMs, sentAtMs);
    return answers.map((holds) => Number(holds) === 1);
  }

  async release(lease: LockLease): Promise<boolean> {
    this.#attempts.end(lease);
    const { client, clock } = this.#setup;
    const answer = await ask(this.#releaseOf(lease), client, this.#purpose("release", lease.key, lease.ttlMs), clock);
    return Number(answer) === 1;
  }

  #releaseOf({ key, owner }: LockLease): Question {
    const { prefix, channelOf } = this.#setup;
    return { script: RELEASE, keys: [prefix + key], args: channelOf === undefined ? [owner] : [owner, channelOf(key)] };
  }

  #purpose(verb: string, key: string, ttlMs: number): Purpose {
    const limitMs = this.#setup.callTimeoutMs ?? Math.max(MIN_CALL_TIMEOUT_MS, ttlMs * CALL_TIMEOUT_TTL_FRACTION);
    return { task: `${verb} ${JSON.stringify(key.slice(0, 100))}`, limitMs };
  }

  /** Enough of the ttl must be left even when the server's clock runs as fast as is allowed for. */
  #assertInTime({ task }: Purpose, ttlMs: number, sentAtMs: number): void {
    const elapsedMs = this.#setup.clock.now() - sentAtMs;
    if (elapsedMs + ttlMs * DRIFT_TTL_FRACTION + DRIFT_MS < ttlMs) return;
    const why = `the answer took ${Math.round(elapsedMs)} ms of a ttl of ${ttlMs} ms. Use a longer ttl`;
    throw unreachable(this.#setup.client, task, why);
  }

  async #assertReplicated({ task, limitMs }: Purpose): Promise<void> {
    const { client, clock, replicas } = this.#setup;
    if (replicas === undefined) return;
    const { count, timeoutMs } = replicas;
    const wait = async () => Number(await client.wait?.(count, timeoutMs));
    const had = await within(wait(), client, { task, limitMs: limitMs + timeoutMs }, clock);
    if (!(had >= count)) throw unreachable(client, task, `after ${timeoutMs} ms ${had} of ${count} replicas had it`);
  }

  #retryAfterMs(answer: unknown, purpose: Purpose): number {
    const remainingMs = Number(answer);
    if (Number.isNaN(remainingMs)) throw this.#foreign(answer, purpose);
    return remainingMs === -1 ? 0 : Math.max(1, remainingMs);
  }

  #foreign(answer: unknown, { task }: Purpose): Error {
    return unreachable(this.#setup.client, task, `an answer that is not the script's: ${typeof answer}`);
  }
}

function wholeMs(ttlMs: number): string {
  return String(Math.ceil(ttlMs));
}
