/**
 * The little of `pg` that the ledger uses: a `pg.Pool` fits. The caller owns it; nothing here ends it.
 */
export interface Database {
  /**
   * Checks a connection out. In the form with a callback, since a connection that breaks at once tells so by an `error` event before
   * a promise could be looked at.
   */
  connect(checkedOut: (error: Error | undefined, connection: Connection | undefined) => void): void;
  /** A pool tells of idle connections that broke; an `error` nobody listens to would end the process. */
  on?(event: "error", listener: (error: Error) => void): unknown;
  removeListener?(event: "error", listener: (error: Error) => void): unknown;
}

/** A checked-out `pg.PoolClient`. */
export interface Connection {
  query(query: Query): Promise<QueryAnswer>;
  /** With an error the connection is closed instead of going back to the pool. */
  release(error?: Error | boolean): void;
  /** What the server last said: `I` outside of a transaction, `T` inside, `E` in a failed one; where the driver tells it. */
  getTransactionStatus?(): "I" | "T" | "E" | null;
  /** The server's number of the connection, where the driver tells it. */
  readonly processID?: number | null;
  on(event: "error", listener: (error: Error) => void): unknown;
  removeListener(event: "error", listener: (error: Error) => void): unknown;
}

export interface Query {
  readonly text: string;
  /** Under which the connection keeps it parsed and planned. */
  readonly name?: string;
  readonly values?: unknown[];
  readonly rowMode?: "array";
  /** The client's own time limit in ms: a frozen server answers nothing at all. */
  readonly query_timeout?: number;
}

export interface QueryAnswer {
  readonly rows: unknown[];
  readonly rowCount: number | null;
  readonly command?: string;
  readonly fields: readonly { readonly name: string }[];
}
