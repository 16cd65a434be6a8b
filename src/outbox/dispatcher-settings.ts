import type { Clock } from "../clock.ts";
import { ExclaimError } from "../errors.ts";
import type { Database } from "../ledger/database.ts";
import { outboxChannel, outboxNumber } from "../ledger/outbox-channel.ts";
import { quoteIdentifier } from "../ledger/quote.ts";
import type { Random } from "../random.ts";
import type { OutboxOptions } from "./outbox-options.ts";
import { type OutboxRoute, outboxRoutes } from "./outbox-routes.ts";

export const DEFAULT_OUTBOX_SCHEMA = "exclaim";
export const DEFAULT_BATCH_SIZE = 500;
export const DEFAULT_MAX_ATTEMPTS = 5;
export const DEFAULT_RETENTION_MS = 604_800_000;
export const DEFAULT_POLL_MS = 1_000;

const MAX_BATCH_SIZE = 10_000;
const MAX_ATTEMPTS = 1_000;
const MIN_POLL_MS = 10;
/** What a timer can wait for. */
const MAX_POLL_MS = 86_400_000;

/** What a dispatcher works with: its options, checked, with their defaults. */
export interface DispatcherSettings {
  readonly database: Database;
  readonly clock: Clock;
  readonly random: Random;
  /** Quoted. */
  readonly schema: string;
  readonly channel: string;
  /** The first number of the advisory locks of this outbox. */
  readonly lockSpace: number;
  readonly routes: readonly OutboxRoute[];
  readonly batchSize: number;
  readonly maxAttempts: number;
  readonly retentionMs: number;
  readonly pollMs: number;
  /** Tells the user. Never throws. */
  readonly report: (error: unknown) => void;
}

/** Throws CONFIG_INVALID: an option is wrong. */
export function dispatcherSettings(options: OutboxOptions, clock: Clock, random: Random): DispatcherSettings {
  const { database, schema = DEFAULT_OUTBOX_SCHEMA, onError } = options;
  if (typeof database?.connect !== "function") throw invalid("`database` must be a pg.Pool");
  if (onError !== undefined && typeof onError !== "function") throw invalid("`onError` must be a function");
  return {
    database,
    clock,
    random,
    schema: quoteIdentifier(schema),
    channel: outboxChannel(schema),
    lockSpace: outboxNumber(schema),
    routes: outboxRoutes(options),
    batchSize: whole("batchSize", options.batchSize ?? DEFAULT_BATCH_SIZE, 1, MAX_BATCH_SIZE),
    maxAttempts: whole("maxAttempts", options.maxAttempts ?? DEFAULT_MAX_ATTEMPTS, 1, MAX_ATTEMPTS),
    retentionMs: whole("retentionMs", options.retentionMs ?? DEFAULT_RETENTION_MS, 0, Number.MAX_SAFE_INTEGER),
    pollMs: whole("pollMs", options.pollMs ?? DEFAULT_POLL_MS, MIN_POLL_MS, MAX_POLL_MS),
    report(error) {
      // Also what it throws later.
      const tell = onError ?? ((failure: unknown) => process.emitWarning(failure instanceof Error ? failure : String(failure)));
      void (async () => tell(error))().catch(() => {});
    },
  };
}

function whole(name: string, value: number, min: number, max: number): number {
  if (Number.isInteger(value) && value >= min && value <= max) return value;
  throw invalid(`\`${name}\` must be a whole number from ${min} to ${max}, not ${String(value)}`);
}

function invalid(message: string): ExclaimError {
  return new ExclaimError("CONFIG_INVALID", `the outbox dispatcher: ${message}`);
}
