import { systemClock } from "../clock.ts";
import { ExclaimError } from "../errors.ts";
import { EventSource, type ExclaimEvents } from "../events.ts";
import type { AcquireLockOptions, Locks } from "../lease/locks.ts";
import type { Database } from "../ledger/database.ts";
import type { UnsafeSetting } from "../ledger/durability.ts";
import type { Imports } from "../ledger/imports.ts";
import type { Row } from "../ledger/ledger.ts";
import { migrate } from "../ledger/migrate.ts";
import type { PoolDefinition } from "../ledger/pool-definition.ts";
import { postgresLedger } from "../ledger/postgres.ts";
import { postgresDeadLetters } from "../ledger/postgres-dead-letters.ts";
import { postgresImports } from "../ledger/postgres-imports.ts";
import { postgresResources } from "../ledger/postgres-resources.ts";
import { quoteIdentifier } from "../ledger/quote.ts";
import type { LockBackend } from "../lock/lock.ts";
import { systemRandom } from "../random.ts";
import { checkMode, checkMs, checkSignal, checkWait, MAX_MS } from "./check-request.ts";
import { createEngine } from "./engine.ts";
import type { Pool } from "./pool.ts";
import type { Resource } from "./resource.ts";

export const DEFAULT_SCHEMA = "exclaim";
export const DEFAULT_TTL_MS = 30_000;
export const MIN_TTL_MS = 100;
export const DEFAULT_DRAIN_MS = 10_000;

/** A statement may take a third of the ttl, so that a renewal that hangs leaves time for another; within these bounds. */
const MIN_STATEMENT_TIMEOUT_MS = 1_000;
const MAX_STATEMENT_TIMEOUT_MS = 10_000;

/** What exclaim works with. */
export interface ExclaimOptions {
  /**
   * A `pg.Pool`: pool tables and ledger live in its database. The caller owns it and ends it, after `close()`.
   * Only who uses locks alone can do without.
   */
  readonly database?: Database;
  /** The outer lock, which keeps the crowd away from the database. @default none: the ledger's lease is the only guard */
  readonly lock?: LockBackend;
  /** The schema of the ledger. @default "exclaim" */
  readonly schema?: string;
  /** How long a lease lasts unless renewed, in ms, 100 to 86,400,000. A dead process delays others by this much. @default 30_000 */
  readonly ttlMs?: number;
}

/** One process's exclaim. */
export interface Exclaim {
  /**
   * Brings the ledger's schema up to this release: idempotent, safe when many start at once. Returns the names of the migrations
   * that this call applied.
   * Throws DATABASE_UNREACHABLE, CONFIG_INVALID.
   */
  migrate(): Promise<readonly string[]>;
  /** A table of rows to claim. Checked against the catalog at the first claim. */
  pool<R extends object = Row>(definition: PoolDefinition): Pool<R>;
  /** A named resource: one delivery at a time for each of its keys, with a token. Throws CONFIG_INVALID: no name, or a too long one. */
  resource(name: string): Resource;
  /** Locks by themselves, from the `lock` back-end. */
  readonly lock: Locks;
  /** Bulk imports, which `fanOut()` of `exclaim/fanout` makes: where each stands, and what became of its rows. */
  readonly imports: Imports;
  /** Calls `listener` at every `event`; returns the function that ends it. What a listener throws is dropped. */
  on<E extends keyof ExclaimEvents>(event: E, listener: (payload: ExclaimEvents[E]) => void): () => void;
  /**
   * Stops claiming, waits up to `drainMs` (default 10,000) for running handlers, aborts the rest, gives those 3 seconds, and ends
   * their leases. Never closes the caller's clients. Idempotent.
   */
  close(options?: { readonly drainMs?: number }): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * Builds exclaim over the caller's database and lock. Connects to nothing yet.
 * Throws CONFIG_INVALID: an option is missing or out of range.
 */
export function createExclaim(options: ExclaimOptions): Exclaim {
  const { database, lock, schema, ttlMs } = checkOptions(options);
  const events = new EventSource();
  const onIdleError = (error: Error): void => events.emit("background:failed", { what: "an idle database connection", error });
  database?.on?.("error", onIdleError);
  const server =
    database === undefined
      ? undefined
      : {
          database,
          clock: systemClock,
          schema,
          statementTimeoutMs: Math.min(MAX_STATEMENT_TIMEOUT_MS, Math.max(MIN_STATEMENT_TIMEOUT_MS, ttlMs / 3)),
          idleTransactionTimeoutMs: ttlMs,
          onUnsafe: oncePerSetting((found) => events.emit("database:unsafe", found)),
        };
  const imports = server && postgresImports(server);
  const engine = createEngine({
    clock: systemClock,
    random: systemRandom,
    ledger: server && postgresLedger({ ...server, onInconsistent: (found) => events.emit("pool:inconsistent", found) }),
    resourceLedger: server && postgresResources(server),
    deadLetters: server && postgresDeadLetters(server),
    importOutcomes: imports,
    lock,
    events,
    ttlMs,
  });
  const close = async (drainMs: number): Promise<void> => {
    await engine.close(drainMs);
    database?.removeListener?.("error", onIdleError);
  };

  return {
    async migrate() {
      if (database === undefined) throw new ExclaimError("CONFIG_INVALID", "migrate() needs `database`: a pg.Pool");
      return migrate(database, systemClock, schema);
    },
    pool: <R extends object = Row>(definition: PoolDefinition) => engine.pool<R>(checkDefinition(definition)),
    resource: (name) => engine.resource(name),
    get imports() {
      if (imports !== undefined) return imports;
      throw new ExclaimError("CONFIG_INVALID", "imports need a database: give createExclaim `database`, a pg.Pool");
    },
    lock: { acquire: async (keys, options = {}) => engine.holding.acquire(checkKeys(keys), checkLockOptions(options, ttlMs)) },
    on: (event, listener) => events.on(event, listener),
    close: ({ drainMs = DEFAULT_DRAIN_MS } = {}) => close(checkMs("drainMs", drainMs, 0, MAX_MS)),
    [Symbol.asyncDispose]: () => close(DEFAULT_DRAIN_MS),
  };
}

/** Pools and resources look each for themselves. */
function oncePerSetting(tell: (found: UnsafeSetting) => void): (found: UnsafeSetting) => void {
  const told = new Set<string>();
  return (found) => {
    if (told.has(found.setting)) return;
    told.add(found.setting);
    tell(found);
  };
}

function checkOptions(options: ExclaimOptions) {
  const { database, lock } = options ?? {};
  if (lock !== undefined && typeof lock.acquire !== "function") {
    throw new ExclaimError("CONFIG_INVALID", "`lock` is not a lock back-end: pass for example redlock([client])");
  }
  const isMissing = database === undefined && lock === undefined;
  if (isMissing || (database !== undefined && typeof database?.connect !== "function")) {
    throw new ExclaimError("CONFIG_INVALID", "createExclaim needs `database`, a pg.Pool, or for locks alone `lock`");
  }
  const schema = options.schema ?? DEFAULT_SCHEMA;
  quoteIdentifier(schema);
  return { database, lock, schema, ttlMs: checkMs("ttlMs", options.ttlMs ?? DEFAULT_TTL_MS, MIN_TTL_MS, MAX_MS) };
}

/** A copy, so that a definition changed later is not half checked and half used. */
function checkDefinition(definition: PoolDefinition): PoolDefinition {
  if (typeof definition?.table !== "string") throw new ExclaimError("CONFIG_INVALID", "a pool needs `table`: the table's name");
  return Object.freeze({ ...definition });
}

function checkKeys(given: string | readonly string[]): readonly string[] {
  const keys = typeof given === "string" ? [given] : given;
  const areUsable = Array.isArray(keys) && keys.length > 0 && keys.every((key) => typeof key === "string" && key !== "");
  if (!areUsable) {
    throw new ExclaimError("CONFIG_INVALID", "lock.acquire needs a key, or a list of keys: texts that are not empty");
  }
  // Servers that store UTF-8 would take two such keys for one.
  if (keys.every((key) => key.isWellFormed())) return keys;
  throw new ExclaimError("KEY_INVALID", "a key holds half a character (a lone surrogate)");
}

function checkLockOptions(options: AcquireLockOptions, defaultTtlMs: number) {
  if (typeof options !== "object" || options === null) {
    throw new ExclaimError("CONFIG_INVALID", "lock.acquire(keys, options): the options must be an object");
  }
  const { ttlMs = defaultTtlMs, waitMs, mode, signal } = options;
  checkSignal(signal);
  checkMs("ttlMs", ttlMs, MIN_TTL_MS, MAX_MS);
  checkWait(waitMs);
  checkMode(mode);
  return { ...options, ttlMs };
}
