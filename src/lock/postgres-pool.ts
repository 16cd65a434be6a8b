/** The server that the PostgreSQL locks are on: the little of `pg` that is used, and what may be told of it. */
import { createHash } from "node:crypto";
import { ExclaimError } from "../errors.ts";

/** What is used of a pool of connections: a `pg.Pool` fits. Whoever made it ends it. */
export interface PostgresPool {
  /**
   * Checks a connection out. In the form with a callback, since a connection that breaks at once tells so by an `error` event before
   * a promise could be looked at.
   */
  connect(checkedOut: (error: Error | undefined, connection: PostgresConnection | undefined) => void): void;
  /** Names the server in errors. The password is read only to keep it out of them. */
  readonly options?: {
    readonly host?: string | undefined;
    readonly port?: number | undefined;
    readonly connectionString?: string | undefined;
    readonly password?: unknown;
  };
}

/** A checked-out `pg.PoolClient`. */
export interface PostgresConnection {
  query(query: PostgresQuery): Promise<{ readonly rows: unknown[] }>;
  /** With `true` the connection is closed instead of going back to its pool. */
  release(isSuspect?: boolean): void;
  /** What the server last said: `I` outside of a transaction, `T` inside, `E` in a failed one; where the driver tells it. */
  getTransactionStatus?(): "I" | "T" | "E" | null;
  /** The server's number of the connection, as the server told it when it was opened. */
  readonly processID?: number | null;
  on(event: "error" | "end", listener: (error: Error) => void): unknown;
  removeListener(event: "error" | "end", listener: (error: Error) => void): unknown;
}

export interface PostgresQuery {
  readonly text: string;
  readonly values?: unknown[];
  /** The driver's own time limit in ms. */
  readonly query_timeout?: number;
}

/** Who asks, for errors: the back-end's name and its server's, and what must not be told. */
export interface PostgresServer {
  readonly backend: string;
  readonly node: string;
  readonly password: string | undefined;
}

/** Throws CONFIG_INVALID: that is no pool of connections. */
export function describeServer(backend: string, pool: PostgresPool): PostgresServer {
  // A pg.Client has a connect() too.
  const isPool = typeof pool?.connect === "function" && !("processID" in pool);
  if (!isPool) throw invalid(backend, "the first argument is a pg.Pool: new pg.Pool({ ... }).");
  const { host, port, connectionString, password } = pool.options ?? {};
  const address = connectionString !== undefined && URL.canParse(connectionString) ? new URL(connectionString) : undefined;
  const named = host ? `${host}:${port ?? 5432}` : undefined;
  const secrets = typeof password === "string" && password !== "" ? password : address && decodeURIComponent(address.password);
  return { backend, node: address?.host || named || "PostgreSQL", password: secrets || undefined };
}

/** The row's primary key: keys may be long and hold anything. What UTF-8 cannot tell apart, lone surrogates, is hashed as UTF-16. */
export function hashOfKey(key: string): Buffer {
  const hash = createHash("sha256");
  return (key.isWellFormed() ? hash.update(key, "utf8") : hash.update("\xff", "latin1").update(key, "utf16le")).digest();
}

/** The key as a text that the server takes: NUL and lone surrogates, which are no text, are escaped. */
export function textOfKey(key: string): string {
  const escaped = (char: string) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`;
  return key.replace(/\0|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g, escaped);
}

/** Throws CONFIG_INVALID: not a positive number. */
export function assertPositive(backend: string, name: string, valueMs: number): void {
  if (Number.isFinite(valueMs) && valueMs > 0) return;
  throw invalid(backend, `${name} is a positive number of ms, not ${valueMs}.`);
}

/** Nothing came within the time limit. */
export class NoAnswer extends Error {}

/** The error that the caller of the back-end sees for what came of a statement. */
export function lockError(server: PostgresServer, what: string, error: unknown): ExclaimError {
  if (error instanceof ExclaimError) return error;
  const { backend, node } = server;
  const reason = withoutSecrets(server, error instanceof Error ? error.message : String(error)) || "no reason was given";
  const state = sqlState(error) ?? "";
  if (["42P01", "42883", "42703", "3F000"].includes(state)) {
    return new ExclaimError("SCHEMA_OUTDATED", `${backend} could not ${what}: ${reason}. Call migrate() once before locking.`, {
      backend,
    });
  }
  if (state === "42501") {
    const todo = "Let the role use the schema, and select, insert, update and delete in its table locks.";
    return invalid(backend, `could not ${what}: ${reason}. ${todo}`);
  }
  const message = `${backend} could not ${what}: ${node}: ${reason}`;
  return new ExclaimError("LOCK_UNREACHABLE", message, { backend, nodes: [{ node, cause: reason }] });
}

export function invalid(backend: string, message: string): ExclaimError {
  return new ExclaimError("CONFIG_INVALID", `${backend}: ${message}`, { backend });
}

/** For messages: long keys are cut. */
export function quoted(key: string): string {
  return JSON.stringify(key.slice(0, 100));
}

/** The five characters of the server's own errors; what node or the driver says has none. */
export function sqlState(error: unknown): string | undefined {
  if (typeof error !== "object" || error === null || !("code" in error) || !("severity" in error)) return undefined;
  return typeof error.code === "string" && /^[0-9A-Z]{5}$/.test(error.code) ? error.code : undefined;
}

/** Whether the server undid the statement and waits for the next one on the same connection. */
export function isRecoverable(error: unknown): boolean {
  const state = sqlState(error);
  if (state === undefined || ["08", "28", "3D", "53300", "57P", "25P", "XX"].some((start) => state.startsWith(start)))
    return false;
  return !["FATAL", "PANIC"].includes(String((error as { readonly severity?: unknown }).severity));
}

/** Only the text of a driver's error is kept, never the error, which may carry what was sent. */
function withoutSecrets({ password }: PostgresServer, text: string): string {
  return (password === undefined ? text : text.replaceAll(password, "***")).replace(/\/\/[^/@\s]*@/g, "//***@");
}
