import type { Clock } from "../clock.ts";
import type { AcquireOptions, LockAttempt, LockBackend, LockCapabilities, LockLease } from "./lock.ts";
import {
  assertExclusive,
  assertPositive,
  hashOfKey,
  lockError,
  type MysqlPool,
  type MysqlServer,
  NoAnswer,
  quoted,
} from "./mysql-pool.ts";
import { Session, type SessionHold, type Verb } from "./mysql-session.ts";

const CALL_TIMEOUT_TTL_FRACTION = 0.05;
const MIN_CALL_TIMEOUT_MS = 250;

export interface GetLockParts {
  readonly server: MysqlServer;
  readonly pool: MysqlPool;
  readonly prefix: string;
  readonly callTimeoutMs: number | undefined;
  readonly clock: Clock;
}

/** Who of this process has a key, or asks for it. */
interface Hold extends SessionHold {
  readonly key: string;
  readonly owner: string;
  readonly session: Session<Hold>;
  asking?: Promise<LockAttempt>;
  isHeld: boolean;
  trustedUntil: number;
}

/**
 * Locks of sessions. The server lets a session take what it has already, so two callers of this process would both win: a table of
 * owners keeps them apart before the server is asked, from the moment they ask.
 */
export class GetLocks implements LockBackend {
  readonly name: string;
  readonly capabilities: LockCapabilities = {
    expiry: "session",
    ttlGranularityMs: 1,
    shared: false,
    // The server queues only those who let their connection wait, and ours has locks to prove meanwhile.
    fifo: false,
    push: false,
  };
  readonly #parts: GetLockParts;
  readonly #holds = new Map<string, Hold>();
  #session: Session<Hold> | undefined;

  constructor(parts: GetLockParts) {
    this.#parts = parts;
    this.name = parts.server.backend;
  }

  async acquire(key: string, options: AcquireOptions): Promise<LockAttempt> {
    const { ttlMs, owner, mode = "exclusive" } = options;
    assertPositive(this.name, "ttlMs", ttlMs);
    assertExclusive(this.name, mode);
    const hold = this.#holds.get(key);
    if (hold === undefined) return this.#take({ key, owner, ttlMs });
    if (hold.owner !== owner) return { lease: null, retryAfterMs: 0 };
    if (hold.asking !== undefined && !hold.isHeld) return hold.asking;
    // Lost: then it is no hold any more.
    return (await this.extend({ key, owner, ttlMs })) ? { lease: { key, owner, ttlMs } } : this.acquire(key, options);
  }

  async extend(lease: LockLease): Promise<boolean> {
    return (await this.extendMany([lease]))[0] === true;
  }

  async extendMany(leases: readonly LockLease[]): Promise<readonly boolean[]> {
    const startedAt = this.#parts.clock.now();
    const beats = leases.map(async (lease) => {
      const hold = this.#held(lease);
      if (!hold?.isHeld) return false;
      try {
        if (await this.#ask("beat", hold.session, lease)) hold.trustedUntil = startedAt + lease.ttlMs;
        else this.#drop(hold);
      } catch (error) {
        // Of an ended session nothing is held, which is an answer too.
        if (!hold.session.isEnded) throw lockError(this.#parts.server, `extend ${quoted(lease.key)}`, error);
      }
      return this.#held(lease) === hold;
    });
    const answers = await Promise.allSettled(beats);
    return answers.map((answer) => {
      if (answer.status === "rejected") throw answer.reason;
      return answer.value;
    });
  }

  async release(lease: LockLease): Promise<boolean> {
    const hold = this.#held(lease);
    if (hold === undefined) return false;
    if (!hold.isHeld) {
      await hold.asking?.catch(() => {});
      return this.release(lease);
    }
    this.#drop(hold);
    try {
      return await this.#ask("unlock", hold.session, lease);
    } catch (error) {
      // A connection that was lost took the lock with it.
      if (hold.session.isEnded && !(error instanceof NoAnswer)) return false;
      throw lockError(this.#parts.server, `release ${quoted(lease.key)}`, error);
    }
  }

  #held({ key, owner }: LockLease): Hold | undefined {
    const hold = this.#holds.get(key);
    return hold?.owner === owner ? hold : undefined;
  }

  /** The key is the owner's for the others of this process from here on. */
  #take(lease: LockLease): Promise<LockAttempt> {
    if (this.#session === undefined || !this.#session.isOpenToLocks) this.#session = this.#openSession();
    const { key, owner } = lease;
    const hold: Hold = { key, owner, session: this.#session, isHeld: false, trustedUntil: Number.NEGATIVE_INFINITY };
    this.#holds.set(key, hold);
    hold.session.holds.add(hold);
    hold.asking = this.#win(lease, hold);
    return hold.asking;
  }

  async #win(lease: LockLease, hold: Hold): Promise<LockAttempt> {
    const startedAt = this.#parts.clock.now();
    try {
      hold.isHeld = await this.#ask("lock", hold.session, lease);
      if (!hold.isHeld) return { lease: null, retryAfterMs: 0 };
      hold.trustedUntil = startedAt + lease.ttlMs;
      return { lease };
    } catch (error) {
      throw lockError(this.#parts.server, `acquire ${quoted(lease.key)}`, error);
    } finally {
      if (!hold.isHeld) {
        this.#drop(hold);
        hold.session.rest();
      }
    }
  }

  #ask(verb: Verb, session: Session<Hold>, { key, ttlMs }: LockLease): Promise<boolean> {
    const timeoutMs = this.#parts.callTimeoutMs ?? Math.max(MIN_CALL_TIMEOUT_MS, ttlMs * CALL_TIMEOUT_TTL_FRACTION);
    return session.ask(verb, this.#parts.prefix + hashOfKey("sha1", key), ttlMs, timeoutMs);
  }

  #openSession(): Session<Hold> {
    const session: Session<Hold> = new Session<Hold>(this.#parts, () => {
      for (const hold of [...session.holds]) this.#drop(hold);
    });
    return session;
  }

  #drop(hold: Hold): void {
    hold.session.holds.delete(hold);
    if (this.#holds.get(hold.key) === hold) this.#holds.delete(hold.key);
  }
}
