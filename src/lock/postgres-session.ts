import type { Clock } from "../clock.ts";
import { ask, checkOutIdle, giveBack } from "./postgres-calls.ts";
import {
  invalid,
  isRecoverable,
  type PostgresConnection,
  type PostgresPool,
  type PostgresServer,
  textOfKey,
} from "./postgres-pool.ts";
import { TimeLimit } from "./postgres-time-limit.ts";

/** A server that hears nothing for so many ttls ends the connection, for it may be that of a machine without power. */
const IDLE_TTLS = 3;
const MIN_IDLE_MS = 3_000;
const MAX_IDLE_MS = 2_000_000_000;
const MAX_BATCH = 500;

/**
 * Takes and frees locks of this session, one after another.
 * Input: $1 what to do, $2 with which key, as many of each; $3 the session's idle_session_timeout from now on, null to leave it.
 * Output: the server's process, and 1 or 0 for each. A `beat` is 1.
 * Atomicity: none. When it fails in the middle, what it took before stays taken.
 */
const BATCH = `
select pg_backend_pid()::text as pid,
  case when $3::text is not null then set_config('idle_session_timeout', $3, false) end as idle_limit,
  array_to_string(array(
    select case verb
      when 'lock' then pg_try_advisory_lock(hashtextextended(name, 0))
      when 'lock shared' then pg_try_advisory_lock_shared(hashtextextended(name, 0))
      when 'unlock' then pg_advisory_unlock(hashtextextended(name, 0))
      when 'unlock shared' then pg_advisory_unlock_shared(hashtextextended(name, 0))
      else true
    end::int
    from unnest($1::text[], $2::text[]) as asked (verb, name)
  ), ',') as answers`;

/** Before PostgreSQL 14 there is no idle_session_timeout: null. */
const OPENING = `
select pg_backend_pid()::text as pid, current_setting('idle_session_timeout', true) as idle_limit,
  current_setting('server_encoding') as encoding`;

export type Verb = "lock" | "lock shared" | "unlock" | "unlock shared" | "beat";

export interface SessionParts {
  readonly server: PostgresServer;
  readonly pool: PostgresPool;
  readonly clock: Clock;
}

/** A lock on a session, or one that it is asked for. */
export interface SessionHold {
  /** An instant of the clock: somebody may work under it until then. */
  readonly trustedUntil: number;
}

interface Request {
  readonly verb: Verb;
  readonly key: string;
  readonly answer: (isDone: boolean) => void;
  readonly fail: (error: unknown) => void;
  /** Nobody waits for it any more. */
  isLate: boolean;
}

interface Opened {
  readonly connection: PostgresConnection;
  readonly pid: string;
  readonly isUtf8: boolean;
  /** The idle_session_timeout it came with, which is set again before it goes back; null where there is none. */
  readonly idleLimit: string | null;
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
  #connection: PostgresConnection | undefined;
  #opened: Opened | undefined;
  #isPumping = false;
  #isRetired = false;
  #isEnded = false;
  #cancelEnd: (() => void) | undefined;
  #idleMs = MIN_IDLE_MS;
  /** As it is now. */
  #idleLimit: string | null = null;

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
  ask(verb: Verb, key: string, ttlMs: number, timeoutMs: number): Promise<boolean> {
    if (this.#isEnded) return Promise.reject(new Error("the connection that held the lock is lost"));
    this.#idleMs = Math.min(MAX_IDLE_MS, Math.max(this.#idleMs, Math.ceil(IDLE_TTLS * ttlMs)));
    const limit = new TimeLimit(this.#parts.clock, timeoutMs);
    return new Promise((resolve, reject) => {
      const request: Request = {
        verb,
        key,
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

  #hasToSend({ idleLimit }: Opened): boolean {
    return this.#queue.length > 0 || (this.holds.size === 0 && !this.#isRetired && this.#idleLimit !== idleLimit);
  }

  async #open(limit: TimeLimit): Promise<Opened> {
    const connection = await checkOutIdle(this.#parts.pool, limit);
    if (this.#isEnded) {
      giveBack(connection, true);
      throw limit.noAnswer("no connection");
    }
    this.#connection = connection;
    connection.on("error", this.#lose);
    connection.on("end", this.#lose);
    const [row] = (await ask(connection, { text: OPENING })).rows;
    const told = row as { pid: string; idle_limit: string | null; encoding: string };
    const { pid, idle_limit: idleLimit } = told;
    // A pooler makes numbers up. Where the driver tells none, the server is asked again, and it may be another one by then.
    const again = async () => ((await ask(connection, { text: OPENING })).rows[0] as { pid: string }).pid;
    const expected = typeof connection.processID === "number" ? String(connection.processID) : await again();
    if (pid !== expected) throw this.#pooled();
    this.#idleLimit = idleLimit;
    return { connection, pid, isUtf8: told.encoding === "UTF8", idleLimit };
  }

  async #send({ connection, pid, isUtf8, idleLimit }: Opened): Promise<void> {
    const batch = this.#queue.splice(0, MAX_BATCH);
    this.#inFlight = batch;
    const wanted = this.holds.size > 0 ? String(this.#idleMs) : idleLimit;
    const change = idleLimit === null || wanted === this.#idleLimit ? null : wanted;
    const name = ({ key }: Request) => (isUtf8 ? textOfKey(key) : encodeURI(textOfKey(key)));
    try {
      const values = [batch.map(({ verb }) => verb), batch.map(name), change];
      const [row] = (await ask(connection, { text: BATCH, values })).rows;
      const told = row as { pid: string; answers: string };
      if (told.pid !== pid) throw this.#pooled();
      if (change !== null) this.#idleLimit = change;
      const answers = told.answers.split(",");
      for (const [index, request] of batch.entries()) this.#settle(request, answers[index] === "1");
      this.#inFlight = NOTHING;
    } catch (error) {
      if (!isRecoverable(error)) throw error;
      // Some of the locks may have been taken before it failed: they go when the connection is closed.
      this.#isRetired = true;
      this.#inFlight = NOTHING;
      for (const request of batch) request.fail(error);
    }
  }

  #settle({ verb, key, isLate, answer }: Request, isDone: boolean): void {
    const undo = verb === "lock" ? "unlock" : "unlock shared";
    const isTaken = isDone && (verb === "lock" || verb === "lock shared");
    if (isLate && isTaken) this.#queue.push({ verb: undo, key, isLate, answer: () => {}, fail: () => {} });
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
      "statements of one connection are answered by different server processes: there is a pooler in between, and a lock";
    const todo = "taken through it may be left behind. Let the pool lead straight to the server, or use postgres()";
    return invalid(this.#parts.server.backend, `${why} ${todo}.`);
  }
}
