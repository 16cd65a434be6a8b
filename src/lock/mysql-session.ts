import type { Clock } from "../clock.ts";
import { checkOut, giveBack } from "./mysql-calls.ts";
import { invalid, isRecoverable, type MysqlConnection, type MysqlPool, type MysqlServer } from "./mysql-pool.ts";
import { TimeLimit } from "./mysql-time-limit.ts";

/** A server that hears nothing for so many ttls ends the connection, for it may be that of a machine without power. */
const IDLE_TTLS = 3;
const MIN_IDLE_SECONDS = 3;
const MAX_IDLE_SECONDS = 2_000_000;
const MAX_BATCH = 500;

/** Before these a second get_lock() freed the first one. */
const LEAST_VERSIONS = { MySQL: [5, 7, 5], MariaDB: [10, 0, 2] } as const;

const OPENING = "select connection_id(), @@session.wait_timeout, version()";

/** A `beat` asks whether this connection still has the lock. */
export type Verb = "lock" | "unlock" | "beat";

/** What a request is in the list of a `select`, which the server works through from left to right. Names need no escaping. */
const EXPRESSIONS: Readonly<Record<Verb, (name: string) => string>> = {
  lock: (name) => `get_lock('${name}', 0)`,
  unlock: (name) => `release_lock('${name}')`,
  beat: (name) => `is_used_lock('${name}') = connection_id()`,
};

export interface SessionParts {
  readonly server: MysqlServer;
  readonly pool: MysqlPool;
  readonly clock: Clock;
}

/** A lock on a session, or one that it is asked for. */
export interface SessionHold {
  /** An instant of the clock: somebody may work under it until then. */
  readonly trustedUntil: number;
}

interface Request {
  readonly verb: Verb;
  readonly name: string;
  readonly answer: (isDone: boolean) => void;
  readonly fail: (error: unknown) => void;
  /** Nobody waits for it any more. */
  isLate: boolean;
}

interface Opened {
  readonly connection: MysqlConnection;
  readonly id: number;
  /** The wait_timeout it came with, in seconds, which is set again before it goes back. */
  readonly idleSeconds: number;
}

const NOTHING: readonly Request[] = [];

/**
 * One connection that locks are held on: checked out when first asked, given back once nothing is held or asked for.
 *
 * What is asked while a statement runs goes into the next one, all of it together. After a statement that was too slow or failed the
 * session is retired: it takes no new locks, and what it holds stays held, because a connection that is closed frees locks under which
 * somebody still works. Once nobody may trust any of them any longer it is closed. A session that ended never holds anything again.
 */
export class Session<Hold extends SessionHold> {
  readonly holds = new Set<Hold>();
  readonly #parts: SessionParts;
  readonly #whenEnded: () => void;
  readonly #queue: Request[] = [];
  #inFlight = NOTHING;
  #connection: MysqlConnection | undefined;
  #opened: Opened | undefined;
  #isPumping = false;
  #isRetired = false;
  #isEnded = false;
  #cancelEnd: (() => void) | undefined;
  #wantedIdleSeconds = MIN_IDLE_SECONDS;
  /** As it is now. */
  #idleSeconds = 0;

  constructor(parts: SessionParts, whenEnded: () => void) {
    this.#parts = parts;
    this.#whenEnded = whenEnded;
  }

  get isEnded(): boolean {
    return this.#isEnded;
  }

  get isOpenToLocks(): boolean {
    return !this.#isRetired && !this.#isEnded;
  }

  /** Rejects with NoAnswer in time, or with what the driver said. A lock that is won after that is freed again. */
  ask(verb: Verb, name: string, ttlMs: number, timeoutMs: number): Promise<boolean> {
    if (this.#isEnded) return Promise.reject(new Error("the connection that held the lock is lost"));
    const idleSeconds = Math.ceil((IDLE_TTLS * ttlMs) / 1_000);
    this.#wantedIdleSeconds = Math.min(MAX_IDLE_SECONDS, Math.max(this.#wantedIdleSeconds, idleSeconds));
    const limit = new TimeLimit(this.#parts.clock, timeoutMs);
    return new Promise((resolve, reject) => {
      const request: Request = {
        verb,
        name,
        isLate: false,
        answer: (isDone) => {
          cancel();
          resolve(isDone);
        },
        fail: (error) => {
          cancel();
          reject(error);
        },
      };
      const cancel = limit.after(() => {
        request.isLate = true;
        reject(limit.noAnswer("no answer"));
        this.#isRetired = true;
        this.#endOnceUntrusted();
      });
      this.#queue.push(request);
      void this.#pump(limit);
    });
  }

  /** To be called when a hold went without anything being asked: gives the connection back if it was the last. */
  rest(): void {
    void this.#pump();
  }

  /** Sends what is asked, statement after statement. Rests while locks are held and nothing is asked; ends when neither. */
  async #pump(limit?: TimeLimit): Promise<void> {
    if (this.#isPumping || this.#isEnded) return;
    this.#isPumping = true;
    try {
      if (this.#opened === undefined && limit !== undefined) this.#opened = await this.#open(limit);
      while (this.#opened !== undefined && !this.#isEnded && this.#hasToSend(this.#opened)) await this.#send(this.#opened);
      if (this.#queue.length + this.holds.size === 0) this.#end(undefined);
    } catch (error) {
      this.#end(error);
    } finally {
      this.#isPumping = false;
    }
  }

  #hasToSend({ idleSeconds }: Opened): boolean {
    return this.#queue.length > 0 || (this.holds.size === 0 && !this.#isRetired && this.#idleSeconds !== idleSeconds);
  }

  async #open(limit: TimeLimit): Promise<Opened> {
    const connection = await checkOut(this.#parts.pool, limit);
    if (this.#isEnded) {
      giveBack(connection, true);
      throw limit.noAnswer("no connection");
    }
    this.#connection = connection;
    connection.on("error", this.#lose);
    connection.on("end", this.#lose);
    const [id, idleSeconds, version] = await select(connection, OPENING);
    // A pooler makes numbers up. Where the driver tells none, the server is asked again, and it may be another one by then.
    const expected = connection.threadId ?? (await select(connection, OPENING))[0];
    if (Number(id) !== Number(expected)) throw this.#pooled();
    if (isTooOld(String(version))) {
      throw invalid(this.#parts.server.backend, `version ${version} lets a session have one lock only. Use mysql().`);
    }
    this.#idleSeconds = Number(idleSeconds);
    return { connection, id: Number(id), idleSeconds: Number(idleSeconds) };
  }

  async #send({ connection, id, idleSeconds }: Opened): Promise<void> {
    const batch = this.#queue.splice(0, MAX_BATCH);
    this.#inFlight = batch;
    const wanted = this.holds.size > 0 ? this.#wantedIdleSeconds : idleSeconds;
    try {
      if (wanted !== this.#idleSeconds) await connection.query({ sql: `set session wait_timeout = ${wanted}` });
      this.#idleSeconds = wanted;
      const expressions = batch.map(({ verb, name }) => EXPRESSIONS[verb](name));
      const answers =
        batch.length === 0 ? [id] : await select(connection, `select ${["connection_id()", ...expressions].join(", ")}`);
      if (Number(answers[0]) !== id) throw this.#pooled();
      for (const [index, request] of batch.entries()) this.#settle(request, Number(answers[index + 1]) === 1);
      this.#inFlight = NOTHING;
    } catch (error) {
      if (!isRecoverable(error)) throw error;
      // Some of the locks may have been taken before it failed: they go when the connection is closed.
      this.#isRetired = true;
      this.#inFlight = NOTHING;
      for (const request of batch) request.fail(error);
    }
  }

  #settle({ verb, name, isLate, answer }: Request, isDone: boolean): void {
    const isTaken = isDone && verb === "lock";
    if (isLate && isTaken) this.#queue.push({ verb: "unlock", name, isLate, answer: () => {}, fail: () => {} });
    else answer(isDone);
  }

  /** After a silence. Whoever holds a lock may work under it until its ttl, and the server may be back by then. */
  #endOnceUntrusted(): void {
    let trustedUntil = Number.NEGATIVE_INFINITY;
    for (const hold of this.holds) trustedUntil = Math.max(trustedUntil, hold.trustedUntil);
    const leftMs = trustedUntil - this.#parts.clock.now();
    if (leftMs <= 0) {
      this.#end(new Error("the server did not answer in time"));
      return;
    }
    const silent = this.#inFlight;
    this.#cancelEnd?.();
    this.#cancelEnd = this.#parts.clock.after(leftMs, () => {
      if (this.#inFlight === silent) this.#endOnceUntrusted();
    });
  }

  readonly #lose = (error?: Error): void => this.#end(error ?? new Error("the connection was closed"));

  /** Without an error and never retired, all locks are given back and the connection is as it came. */
  #end(error: unknown): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#cancelEnd?.();
    const connection = this.#connection;
    if (connection !== undefined) {
      connection.removeListener("error", this.#lose);
      connection.removeListener("end", this.#lose);
      giveBack(connection, error === undefined && !this.#isRetired);
    }
    for (const request of [...this.#inFlight, ...this.#queue.splice(0)]) request.fail(error);
    this.#inFlight = NOTHING;
    this.#whenEnded();
  }

  #pooled(): Error {
    const why =
      "statements of one connection are answered by different server connections: there is a pooler in between, and a";
    const todo = "lock taken through it may be left behind. Let the pool lead straight to the server, or use mysql()";
    return invalid(this.#parts.server.backend, `${why} ${todo}.`);
  }
}

/** The one row, in order, however the pool wants its rows. */
async function select(connection: MysqlConnection, sql: string): Promise<readonly unknown[]> {
  const [rows] = await connection.query({ sql, rowsAsArray: true, typeCast: true });
  return (rows as unknown[][])[0] ?? [];
}

function isTooOld(version: string): boolean {
  const least = LEAST_VERSIONS[/mariadb/i.test(version) ? "MariaDB" : "MySQL"];
  const numbers = version.split(/[.-]/, 3).map(Number);
  for (const [index, number] of least.entries()) {
    if (numbers[index] !== number) return (numbers[index] ?? 0) < number;
  }
  return false;
}
