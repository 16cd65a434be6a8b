import type { Clock } from "../clock.ts";
import type { AcquireOptions, LockAttempt, LockBackend, LockCapabilities, LockLease, LockMode } from "./lock.ts";
import { assertPositive, lockError, NoAnswer, type PostgresPool, type PostgresServer, quoted } from "./postgres-pool.ts";
import { Session, type SessionHold, type Verb } from "./postgres-session.ts";

const CALL_TIMEOUT_TTL_FRACTION = 0.05;
const MIN_CALL_TIMEOUT_MS = 250;

export interface AdvisoryLockParts {
  readonly server: PostgresServer;
  readonly pool: PostgresPool;
  readonly callTimeoutMs: number | undefined;
  readonly clock: Clock;
}

/** Who of this process has a key, or asks for it. */
interface Hold extends SessionHold {
  readonly key: string;
  readonly owner: string;
  readonly mode: LockMode;
  readonly session: Session<Hold>;
  asking?: Promise<LockAttempt>;
  isHeld: boolean;
  trustedUntil: number;
}

/**
 * Locks of sessions. The server lets a session take what it has already, so two callers of this process would both win: a table of
 * owners keeps them apart before the server is asked, from the moment they ask.
 */
export class AdvisoryLocks implements LockBackend {
  readonly name: string;
  readonly capabilities: LockCapabilities = {
    expiry: "session",
    ttlGranularityMs: 1,
    shared: true,
    // The server queues only those who let their connection wait, and ours has locks to prove meanwhile.
    fifo: false,
    push: false,
  };
  readonly #parts: AdvisoryLockParts;
  readonly #holds = new Map<string, Map<string, Hold>>();
  #session: Session<Hold> | undefined;

  constructor(parts: AdvisoryLockParts) {
    this.#parts = parts;
    this.name = parts.server.backend;
  }

  async acquire(key: string, options: AcquireOptions): Promise<LockAttempt> {
    const { ttlMs, owner, mode = "exclusive" } = options;
    assertPositive(this.name, "ttlMs", ttlMs);
    const lease: LockLease = { key, owner, ttlMs, ...(mode === "shared" ? { mode } : {}) };
    const own = this.#holds.get(key)?.get(owner);
    if (own === undefined) return this.#isExcluded(key, mode) ? { lease: null, retryAfterMs: 0 } : this.#take(lease, mode);
    if (own.asking !== undefined && !own.isHeld && own.mode === mode) return own.asking;
    if (own.isHeld && own.mode === mode && (await this.extend(lease))) return { lease };
    await this.release(lease);
    return this.acquire(key, options);
  }

  async extend(lease: LockLease): Promise<boolean> {
    return (await this.extendMany([lease]))[0] === true;
  }

  async extendMany(leases: readonly LockLease[]): Promise<readonly boolean[]> {
    const startedAt = this.#parts.clock.now();
    const holds = leases.map(({ key, owner }) => this.#holds.get(key)?.get(owner));
    const sessions = [...new Set(holds.flatMap((hold) => (hold?.isHeld ? [hold.session] : [])))];
    const ttlMs = Math.min(...leases.map((lease) => lease.ttlMs));
    const what = leases.length === 1 ? `extend ${quoted(leases[0]?.key ?? "")}` : `extend ${leases.length} leases`;
    const beats = sessions.map((session) => session.ask("beat", "", ttlMs, this.#timeoutMs(ttlMs)));
    for (const [index, beat] of (await Promise.allSettled(beats)).entries()) {
      // Of an ended session nothing is held, which is an answer too.
      if (beat.status === "rejected" && sessions[index]?.isEnded !== true)
        throw lockError(this.#parts.server, what, beat.reason);
    }
    return leases.map((lease, index) => {
      const hold = holds[index];
      if (hold === undefined || this.#holds.get(lease.key)?.get(lease.owner) !== hold || !hold.isHeld) return false;
      hold.trustedUntil = startedAt + lease.ttlMs;
      return true;
    });
  }

  async release(lease: LockLease): Promise<boolean> {
    const hold = this.#holds.get(lease.key)?.get(lease.owner);
    if (hold === undefined) return false;
    if (!hold.isHeld) {
      await hold.asking?.catch(() => {});
      return this.release(lease);
    }
    this.#drop(hold);
    const unlocking = this.#ask(hold.mode === "shared" ? "unlock shared" : "unlock", hold.session, lease);
    try {
      return await unlocking;
    } catch (error) {
      // A connection that was lost took the lock with it.
      if (hold.session.isEnded && !(error instanceof NoAnswer)) return false;
      throw lockError(this.#parts.server, `release ${quoted(lease.key)}`, error);
    }
  }

  #isExcluded(key: string, mode: LockMode): boolean {
    const others = [...(this.#holds.get(key)?.values() ?? [])];
    return others.some((hold) => mode === "exclusive" || hold.mode === "exclusive");
  }

  /** The key is the owner's for the others of this process from here on. */
  #take(lease: LockLease, mode: LockMode): Promise<LockAttempt> {
    if (this.#session === undefined || !this.#session.isOpenToLocks) this.#session = this.#openSession();
    const { key, owner } = lease;
    const hold: Hold = { key, owner, mode, session: this.#session, isHeld: false, trustedUntil: Number.NEGATIVE_INFINITY };
    const owners = this.#holds.get(key) ?? new Map<string, Hold>();
    this.#holds.set(key, owners.set(owner, hold));
    hold.session.holds.add(hold);
    hold.asking = this.#win(lease, hold);
    return hold.asking;
  }

  async #win(lease: LockLease, hold: Hold): Promise<LockAttempt> {
    const startedAt = this.#parts.clock.now();
    try {
      hold.isHeld = await this.#ask(hold.mode === "shared" ? "lock shared" : "lock", hold.session, lease);
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
    return session.ask(verb, key, ttlMs, this.#timeoutMs(ttlMs));
  }

  #openSession(): Session<Hold> {
    const session: Session<Hold> = new Session<Hold>(this.#parts, () => {
      for (const hold of [...session.holds]) this.#drop(hold);
    });
    return session;
  }

  #drop(hold: Hold): void {
    hold.session.holds.delete(hold);
    const owners = this.#holds.get(hold.key);
    if (owners?.get(hold.owner) === hold && owners.delete(hold.owner) && owners.size === 0) this.#holds.delete(hold.key);
  }

  #timeoutMs(ttlMs: number): number {
    return this.#parts.callTimeoutMs ?? Math.max(MIN_CALL_TIMEOUT_MS, ttlMs * CALL_TIMEOUT_TTL_FRACTION);
  }
}
