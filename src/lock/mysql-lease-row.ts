import { randomBytes } from "node:crypto";
import type { Clock } from "../clock.ts";
import type { AcquireOptions, LockAttempt, LockBackend, LockCapabilities, LockLease } from "./lock.ts";
import { Attempts } from "./mysql-attempts.ts";
import { type Call, MysqlCalls, type Outcome } from "./mysql-calls.ts";
import {
  assertExclusive,
  assertPositive,
  hashOfKey,
  invalid,
  lockError,
  type MysqlPool,
  type MysqlServer,
  quoted,
  serverErrno,
} from "./mysql-pool.ts";
import * as statements from "./mysql-statements.ts";
import { TimeLimit } from "./mysql-time-limit.ts";

const CALL_TIMEOUT_TTL_FRACTION = 0.05;
const MIN_CALL_TIMEOUT_MS = 250;
const MAX_LEASES_PER_STATEMENT = 500;
/** With 100 rows looked at every 50 wins, less than half of the table is leftovers even when no lease is ever released. */
const WINS_PER_SWEEP = 50;
const ROWS_PER_SWEEP = 100;

const NO_SUCH_TABLE = 1146;
/** No database was chosen; a column or table that is another's; a privilege lacks, for the table, the database or the statement. */
const SETUP_ERRNOS = [1044, 1046, 1054, 1142, 1143, 1146, 1227, 1370];

export interface LeaseRowParts {
  readonly server: MysqlServer;
  readonly pool: MysqlPool;
  /** Quoted, for SQL. */
  readonly table: string;
  readonly callTimeoutMs: number | undefined;
  readonly clock: Clock;
}

/** Locks as rows of a table, which is made when it is first missed. */
export class LeaseRows implements LockBackend {
  readonly name: string;
  readonly capabilities: LockCapabilities = { expiry: "ttl", ttlGranularityMs: 1, shared: false, fifo: false, push: false };
  readonly #parts: LeaseRowParts;
  readonly #calls: MysqlCalls;
  readonly #attempts: Attempts;
  #wins = 0;

  constructor(parts: LeaseRowParts) {
    this.#parts = parts;
    this.#calls = new MysqlCalls(parts.pool, parts.clock);
    this.#attempts = new Attempts((lease) => this.#releasing(lease));
    this.name = parts.server.backend;
  }

  async acquire(key: string, { ttlMs, owner, mode = "exclusive" }: AcquireOptions): Promise<LockAttempt> {
    assertPositive(this.name, "ttlMs", ttlMs);
    assertExclusive(this.name, mode);
    if (Buffer.byteLength(owner) > statements.MAX_OWNER_BYTES) {
      throw invalid(this.name, `an owner has ${statements.MAX_OWNER_BYTES} bytes at most.`);
    }
    const lease: LockLease = { key, owner, ttlMs };
    const limit = this.#limit(ttlMs);
    const attempt = () => this.#attempts.make(lease, limit, () => this.#acquiring(lease, limit), isWon);
    const outcome = await this.#answer(`acquire ${quoted(key)}`, limit, attempt);
    if (!isWon(outcome)) return { lease: null, retryAfterMs: outcome.insertId - 1 };
    this.#sweepNowAndThen(ttlMs);
    return { lease };
  }

  async extend(lease: LockLease): Promise<boolean> {
    const limit = this.#limit(lease.ttlMs);
    const sql = statements.extend(this.#parts.table, { ...idsOf(lease), ttlUs: microseconds(lease.ttlMs) });
    const attempt = () => this.#calls.call(sql, limit).answer;
    return (await this.#answer(`extend ${quoted(lease.key)}`, limit, attempt)).insertId === 1;
  }

  /** By one statement for each ttl. When not all of them were held, it does not tell which: then each is asked about by itself. */
  async extendMany(leases: readonly LockLease[]): Promise<readonly boolean[]> {
    const answers = new Map<LockLease, Promise<boolean>>();
    for (const ttlMs of new Set(leases.map((lease) => lease.ttlMs))) {
      const ofOneTtl = leases.filter((lease) => lease.ttlMs === ttlMs);
      for (let start = 0; start < ofOneTtl.length; start += MAX_LEASES_PER_STATEMENT) {
        const some = ofOneTtl.slice(start, start + MAX_LEASES_PER_STATEMENT);
        const areAllHeld = some.length > 1 ? this.#extendAll(some, ttlMs) : Promise.resolve(false);
        for (const lease of some)
          answers.set(
            lease,
            areAllHeld.then((areHeld) => areHeld || this.extend(lease)),
          );
      }
    }
    return Promise.all(leases.map((lease) => answers.get(lease) ?? false));
  }

  async release(lease: LockLease): Promise<boolean> {
    this.#attempts.giveUp(lease);
    const limit = this.#limit(lease.ttlMs);
    const attempt = () => this.#releasing(lease, limit).answer;
    return (await this.#answer(`release ${quoted(lease.key)}`, limit, attempt)).affectedRows === 1;
  }

  async #extendAll(leases: readonly LockLease[], ttlMs: number): Promise<boolean> {
    const limit = this.#limit(ttlMs);
    const sql = statements.extendAll(this.#parts.table, leases.map(idsOf), microseconds(ttlMs));
    const attempt = () => this.#calls.call(sql, limit).answer;
    return (await this.#answer(`extend ${leases.length} leases`, limit, attempt)).affectedRows === leases.length;
  }

  #acquiring(lease: LockLease, limit: TimeLimit): Call {
    const text = Buffer.from(lease.key.slice(0, statements.MAX_KEY_TEXT)).toString("hex");
    const row = { ...idsOf(lease), text, ttlUs: microseconds(lease.ttlMs) };
    return this.#calls.call(statements.acquire(this.#parts.table, row), limit);
  }

  #releasing(lease: LockLease, limit = this.#limit(lease.ttlMs)): Call {
    return this.#calls.call(statements.release(this.#parts.table, idsOf(lease)), limit);
  }

  /** Keys that were never met again after their holders died. Nobody waits for it, and it matters to nobody when it fails. */
  #sweepNowAndThen(ttlMs: number): void {
    this.#wins += 1;
    if (this.#wins % WINS_PER_SWEEP !== 1) return;
    // The first keys of all follow few others: every other time it starts with them.
    const isFromStart = this.#wins % (2 * WINS_PER_SWEEP) === 1;
    const start = isFromStart ? "00" : randomBytes(32).toString("hex");
    this.#calls.call(statements.sweep(this.#parts.table, start, ROWS_PER_SWEEP), this.#limit(ttlMs)).answer.catch(() => {});
  }

  /** Makes the table when it is missing, and asks again. */
  async #answer(what: string, limit: TimeLimit, attempt: () => Promise<Outcome>): Promise<Outcome> {
    const { server, table } = this.#parts;
    try {
      return await attempt().catch(async (error: unknown) => {
        if (serverErrno(error) !== NO_SUCH_TABLE) throw error;
        await this.#calls.call(statements.createTable(table), limit).answer;
        return attempt();
      });
    } catch (error) {
      if (!SETUP_ERRNOS.includes(serverErrno(error) ?? 0)) throw lockError(server, what, error);
      const reason = error instanceof Error ? error.message : String(error);
      const todo = `Have this table made, with select, insert, update and delete for this account: ${statements.createTable(table)}`;
      throw invalid(server.backend, `could not ${what}: ${reason}. ${todo}`);
    }
  }

  #limit(ttlMs: number): TimeLimit {
    const { clock, callTimeoutMs } = this.#parts;
    return new TimeLimit(clock, callTimeoutMs ?? Math.max(MIN_CALL_TIMEOUT_MS, ttlMs * CALL_TIMEOUT_TTL_FRACTION));
  }
}

function isWon({ insertId }: Outcome): boolean {
  return insertId <= 1;
}

function idsOf({ key, owner }: LockLease): { hash: string; owner: string } {
  return { hash: hashOfKey("sha256", key), owner: Buffer.from(owner).toString("hex") };
}

function microseconds(ttlMs: number): number {
  return Math.ceil(ttlMs * 1_000);
}
