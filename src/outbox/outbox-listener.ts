import type { Clock } from "../clock.ts";
import type { Connection } from "../ledger/database.ts";
import { giveBack, type Statements } from "../ledger/run-statement.ts";

const FIRST_PAUSE_MS = 250;
const LAST_PAUSE_MS = 30_000;
/** How long it leaves its connection to others when the pool was found empty. */
const SURRENDER_MS = 60_000;

/** What a `pg.PoolClient` tells besides. */
interface Hearing {
  on(event: "notification" | "end", listener: () => void): unknown;
}

/** Hears that something was published, on a connection of its own. Whatever goes wrong here is made up for by polling. */
export class OutboxListener {
  readonly #server: Statements;
  readonly #clock: Clock;
  readonly #channel: string;
  readonly #wake: () => void;
  #connection: Connection | undefined;
  #cancelPause = (): void => {};
  #pauseMs = FIRST_PAUSE_MS;
  #isOpening = false;
  #isClosed = false;

  /** After: listens, or tries to, until closed. Calls `wake` at every notification and, since some may be missed before, once it listens. */
  constructor(server: Statements, clock: Clock, channel: string, wake: () => void) {
    this.#server = server;
    this.#clock = clock;
    this.#channel = channel;
    this.#wake = wake;
    void this.#listen();
  }

  /** Gives the connection back to the pool and does without for a while: the work itself could not get one. */
  surrender(): void {
    this.#drop(this.#connection);
    this.#tryAgainIn(SURRENDER_MS);
  }

  /** After: the connection is given back, or will be when it comes. Idempotent. */
  close(): void {
    this.#isClosed = true;
    this.#cancelPause();
    this.#drop(this.#connection);
  }

  async #listen(): Promise<void> {
    if (this.#isOpening || this.#connection !== undefined) return;
    let connection: Connection | undefined;
    this.#isOpening = true;
    try {
      connection = await this.#server.connect();
      if (this.#isClosed) return giveBack(connection, true);
      this.#connection = connection;
      this.#hear(connection);
      await connection.query({ text: `listen ${this.#channel}`, query_timeout: this.#server.timeoutMs });
      this.#pauseMs = FIRST_PAUSE_MS;
      this.#wake();
    } catch {
      this.#lose(connection);
    } finally {
      this.#isOpening = false;
    }
  }

  #hear(connection: Connection): void {
    const client = connection as Connection & Hearing;
    client.on("notification", () => this.#wake());
    client.on("error", () => this.#lose(connection));
    client.on("end", () => this.#lose(connection));
  }

  #lose(connection: Connection | undefined): void {
    // It tells of its end more than once, also when it was given up.
    if (connection !== this.#connection) return;
    this.#drop(connection);
    this.#tryAgainIn(this.#pauseMs);
    this.#pauseMs = Math.min(LAST_PAUSE_MS, this.#pauseMs * 2);
  }

  /** Closed, not pooled: it would go on listening for its next user. */
  #drop(connection: Connection | undefined): void {
    this.#connection = undefined;
    if (connection !== undefined) giveBack(connection, false);
  }

  #tryAgainIn(delayMs: number): void {
    this.#cancelPause();
    if (!this.#isClosed) this.#cancelPause = this.#clock.after(delayMs, () => void this.#listen());
  }
}
