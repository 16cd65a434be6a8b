/** The server that the MySQL and MariaDB locks are on: the little of `mysql2` that is used, and what may be told of it. */
import { createHash } from "node:crypto";
import { ExclaimError } from "../errors.ts";

/** What is used of a pool of connections: one of `mysql2/promise` fits. Whoever made it ends it. */
export interface MysqlPool {
  getConnection(): Promise<MysqlConnection>;
  /** The driver's own pool: its settings name the server in errors. The password is read only to keep it out of them. */
  readonly pool?: unknown;
}

/** A checked-out connection of the pool. */
export interface MysqlConnection {
  query(query: MysqlQuery): Promise<readonly [answer: unknown, columns: unknown]>;
  release(): void;
  /** Closes it instead. */
  destroy(): void;
  /** The server's number of the connection, as the server told it when it was opened. */
  readonly threadId?: number | null;
  on(event: "error" | "end", listener: (error?: Error) => void): unknown;
  removeListener(event: "error" | "end", listener: (error?: Error) => void): unknown;
}

/** Values are written into the text as hexadecimal numbers, so that no escaping, mode or character set of the session matters. */
export interface MysqlQuery {
  readonly sql: string;
  readonly rowsAsArray?: boolean;
  readonly typeCast?: boolean;
}

/** Who asks, for errors: the back-end's name and its server's, and what must not be told. */
export interface MysqlServer {
  readonly backend: string;
  readonly node: string;
  readonly password: string | undefined;
}

/** Throws CONFIG_INVALID: that is no pool of connections, or one of callbacks. */
export function describeServer(backend: string, pool: MysqlPool): MysqlServer {
  if (typeof pool?.getConnection !== "function") {
    throw invalid(backend, 'the first argument is a pool of "mysql2/promise": createPool({ ... }).');
  }
  if ("promise" in pool && typeof pool.promise === "function") {
    throw invalid(backend, 'the pool is one of callbacks: pass pool.promise(), or make it by "mysql2/promise".');
  }
  if ("of" in pool)
    throw invalid(backend, "a PoolCluster leads to several servers, and a lock is on one: pass a pool of that one.");
  const settings = (pool.pool as { readonly config?: { readonly connectionConfig?: Settings } } | undefined)?.config;
  const { host, port, socketPath, password } = settings?.connectionConfig ?? {};
  return { backend, node: socketPath || (host ? `${host}:${port ?? 3306}` : "MySQL"), password: password || undefined };
}

interface Settings {
  readonly host?: string;
  readonly port?: number;
  readonly socketPath?: string;
  readonly password?: string;
}

/** The row's primary key: keys may be long and hold anything. What UTF-8 cannot tell apart, lone surrogates, is hashed as UTF-16. */
export function hashOfKey(algorithm: "sha256" | "sha1", key: string): string {
  const hash = createHash(algorithm);
  if (key.isWellFormed()) hash.update(key, "utf8");
  else hash.update("\xff", "latin1").update(key, "utf16le");
  return hash.digest("hex");
}

/** Throws CONFIG_INVALID: not a positive number. */
export function assertPositive(backend: string, name: string, valueMs: number): void {
  if (Number.isFinite(valueMs) && valueMs > 0) return;
  throw invalid(backend, `${name} is a positive number of ms, not ${valueMs}.`);
}

/** Throws CONFIG_INVALID: there are exclusive locks only. */
export function assertExclusive(backend: string, mode: string): void {
  if (mode !== "exclusive") throw invalid(backend, `there is no ${mode} mode: its locks are exclusive.`);
}

/** Nothing came within the time limit. */
export class NoAnswer extends Error {}

/** The error that the caller of the back-end sees for what came of a statement. */
export function lockError(server: MysqlServer, what: string, error: unknown): ExclaimError {
  if (error instanceof ExclaimError) return error;
  const { backend, node } = server;
  const reason = withoutSecrets(server, error instanceof Error ? error.message : String(error)) || "no reason was given";
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

/** The number of the server's own errors; what node or the driver says has none. */
export function serverErrno(error: unknown): number | undefined {
  if (typeof error !== "object" || error === null || !("errno" in error) || !("sqlState" in error)) return undefined;
  return typeof error.errno === "number" && typeof error.sqlState === "string" ? error.errno : undefined;
}

/** Shutdown, killed connection (MySQL, MariaDB), idle for too long: the server closes the connection with them. */
const FATAL_ERRNOS = [1053, 1927, 3169, 4031];

/** Whether the server undid the statement and waits for the next one on the same connection. */
export function isRecoverable(error: unknown): boolean {
  const errno = serverErrno(error);
  return errno !== undefined && !FATAL_ERRNOS.includes(errno) && (error as { readonly fatal?: unknown }).fatal !== true;
}

/** Only the text of a driver's error is kept, never the error, which carries what was sent. */
function withoutSecrets({ password }: MysqlServer, text: string): string {
  return (password === undefined ? text : text.replaceAll(password, "***")).replace(/\/\/[^/@\s]*@/g, "//***@");
}
