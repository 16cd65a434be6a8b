import { randomBytes } from "node:crypto";
import type { Clock } from "../clock.ts";
import type { AcquireOptions, LockAttempt, LockBackend, LockCapabilities, LockLease, LockWaiter } from "./lock.ts";
import { Attempts } from "./postgres-attempts.ts";
import { type Call, PostgresCalls } from "./postgres-calls.ts";
import {
  assertPositive,
  hashOfKey,
  lockError,
  type PostgresPool,
  type PostgresServer,
  quoted,
  sqlState,
  textOfKey,
} from "./postgres-pool.ts";
import { TimeLimit } from "./postgres-time-limit.ts";
import type { WakeUps } from "./postgres-wake-ups.ts";

const CALL_TIMEOUT_TTL_FRACTION = 0.05;
const MIN_CALL_TIMEOUT_MS = 250;
/** The text is for people; the hash is what counts. */
const MAX_KEY_TEXT = 500;
/** With 100 rows looked at every 50 wins, less than half of the table is leftovers even when no lease is ever released. */
const WINS_PER_SWEEP = 50;
const ROWS_PER_SWEEP = 100;
/** The encoding of the database has no such character. */
const UNTRANSLATABLE = "22P05";

/**
 * Deletes what ran out and nobody met, among the keys that follow a hash; after the last key comes the first.
 * Input: $1 the hash; $2 how many keys are looked at. What others have locked is passed over, and they need not wait.
 */
const sweep = (table: string): string => `
with neighbours as (
  (select key_hash from ${table} where key_hash >= $1 order by key_hash limit $2)
  union all
  (select key_hash from ${table} where key_hash < $1 order by key_hash limit $2)
  limit $2
), over as (
  select key_hash from ${table} where key_hash in (select key_hash from neighbours) and leased_until <= clock_timestamp()
  for update skip locked
)
delete from ${table} where key_hash in (select key_hash from over)`;

export interface LeaseRowParts {
  readonly server: PostgresServer;
  readonly pool: PostgresPool;
  /** Quoted, for SQL. */
  readonly schema: string;
  readonly callTimeoutMs: number | undefined;
  readonly clock: Clock;
  readonly wakeUps: WakeUps | undefined;
}

/**
 * Locks as rows of the table `locks`. The statements are calls of the functions that its migration made; what they return is made a
 * number or a text, which the caller's own parsers of types leave alone.
 */
export class LeaseRows implements LockBackend {
  readonly name: string;
  readonly capabilities: LockCapabilities;
  readonly watch?: (waiter: LockWaiter, wake: () => void) => Promise<() => void>;
  readonly #parts: LeaseRowParts;
  readonly #calls: PostgresCalls;
  readonly #attempts: Attempts;
  #isAsciiOnly = false;
  #wins = 0;

  constructor(parts: LeaseRowParts) {
    const { server, pool, clock, wakeUps } = parts;
    this.#parts = parts;
    this.#calls = new PostgresCalls(pool, clock);
    this.#attempts = new Attempts((lease) => this.#releasing(lease));
    this.name = server.backend;
    this.capabilities = { expiry: "ttl", ttlGranularityMs: 1, shared: true, fifo: false, push: wakeUps !== undefined };
    if (wakeUps !== undefined) this.watch = (waiter, wake) => this.#watch(wakeUps, waiter, wake);
  }

  async acquire(key: string, { ttlMs, owner, mode = "exclusive" }: AcquireOptions): Promise<LockAttempt> {
    assertPositive(this.name, "ttlMs", ttlMs);
    const lease: LockLease = { key, owner, ttlMs, ...(mode === "shared" ? { mode } : {}) };
    const limit = this.#limit(ttlMs);
    const attempt = () => this.#attempts.make(lease, limit, () => this.#acquiring(lease, limit), isWon);
    const rows = attempt().catch((error: unknown) => {
      if (sqlState(error) !== UNTRANSLATABLE || this.#isAsciiOnly) throw error;
      this.#isAsciiOnly = true;
      return attempt();
    });
    const [row] = await this.#answer(`acquire ${quoted(key)}`, rows);
    if (!isWon([row])) return { lease: null, retryAfterMs: Number((row as { left_ms: unknown }).left_ms) };
    this.#sweepNowAndThen(ttlMs);
    return { lease };
  }

  async extend(lease: LockLease): Promise<boolean> {
    return (await this.extendMany([lease]))[0] === true;
  }

  async extendMany(leases: readonly LockLease[]): Promise<readonly boolean[]> {
    if (leases.length === 0) return [];
    const ttlsMs = leases.map(({ ttlMs }) => ttlMs);
    const text = `select array_to_string(${this.#parts.schema}.extend_locks($1, $2, $3)::int[], ',') as answers`;
    const values = [leases.map(({ key }) => hashOfKey(key)), leases.map(({ owner }) => owner), ttlsMs];
    const call = this.#calls.call({ text, values }, this.#limit(Math.min(...ttlsMs)));
    const what = leases.length === 1 ? `extend ${quoted(leases[0]?.key ?? "")}` : `extend ${leases.length} leases`;
    const [row] = await this.#answer(what, call.answer);
    return String((row as { answers: unknown }).answers)
      .split(",")
      .map((answer) => answer === "1");
  }

  async release(lease: LockLease): Promise<boolean> {
    this.#attempts.giveUp(lease);
    const [row] = await this.#answer(`release ${quoted(lease.key)}`, this.#releasing(lease).answer);
    return Number((row as { released: unknown }).released) === 1;
  }

  #acquiring({ key, owner, ttlMs, mode }: LockLease, limit: TimeLimit): Call {
    const hash = hashOfKey(key);
    const text = `select won::int as won, left_ms from ${this.#parts.schema}.acquire_lock($1, $2, $3, $4, $5, $6)`;
    const isWatched = this.#parts.wakeUps?.isWatched(hash) ?? false;
    return this.#calls.call({ text, values: [hash, this.#textOf(key), mode ?? "exclusive", owner, ttlMs, isWatched] }, limit);
  }

  #releasing({ key, owner, ttlMs }: LockLease): Call {
    const text = `select ${this.#parts.schema}.release_lock($1, $2)::int as released`;
    return this.#calls.call({ text, values: [hashOfKey(key), owner] }, this.#limit(ttlMs));
  }

  #textOf(key: string): string {
    const text = textOfKey(key.slice(0, MAX_KEY_TEXT));
    return this.#isAsciiOnly ? encodeURI(text) : text;
  }

  async #watch(wakeUps: WakeUps, { key }: LockWaiter, wake: () => void): Promise<() => void> {
    const hash = hashOfKey(key);
    const limit = this.#limit(0);
    const what = `watch ${quoted(key)}`;
    const unwatch = await this.#answer(what, wakeUps.watch(hash, wake, limit));
    const text = `update ${this.#parts.schema}.locks set watched = true where key_hash = $1 and not watched`;
    try {
      await this.#answer(what, this.#calls.call({ text, values: [hash] }, limit).answer);
    } catch (error) {
      unwatch();
      throw error;
    }
    return unwatch;
  }

  /** Keys that were never met again after their holders died. Nobody waits for it, and it matters to nobody when it fails. */
  #sweepNowAndThen(ttlMs: number): void {
    this.#wins += 1;
    if (this.#wins % WINS_PER_SWEEP !== 1) return;
    const query = { text: sweep(`${this.#parts.schema}.locks`), values: [randomBytes(32), ROWS_PER_SWEEP] };
    this.#calls.call(query, this.#limit(ttlMs)).answer.catch(() => {});
  }

  async #answer<T>(what: string, answer: Promise<T>): Promise<T> {
    try {
      return await answer;
    } catch (error) {
      throw lockError(this.#parts.server, what, error);
    }
  }

  #limit(ttlMs: number): TimeLimit {
    const { clock, callTimeoutMs } = this.#parts;
    return new TimeLimit(clock, callTimeoutMs ?? Math.max(MIN_CALL_TIMEOUT_MS, ttlMs * CALL_TIMEOUT_TTL_FRACTION));
  }
}

function isWon([row]: unknown[]): boolean {
  return Number((row as { won: unknown }).won) === 1;
}
