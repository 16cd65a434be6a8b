import { type Clock, systemClock } from "../clock.ts";
import { ExclaimError } from "../errors.ts";
import { isImportId } from "../ledger/import-message-id.ts";
import type { ImportRuns } from "../ledger/imports.ts";
import { postgresImports } from "../ledger/postgres-imports.ts";
import type { MessageTarget } from "../outbox/target.ts";
import { targetOf } from "../outbox/target-of.ts";
import { systemRandom } from "../random.ts";
import type { FanOutOptions } from "./fan-out-options.ts";

const DEFAULT_SCHEMA = "exclaim";
const DEFAULT_SOURCE = "rows";
const MAX_CHUNK_SIZE = 10_000;
/** A restart of a broker or a fail-over of a database passes within. */
const PATIENCE_MS = 60_000;
/** exclaim's own targets give up on a silent broker sooner; a function or a target of the user's may never answer. */
const SEND_LIMIT_MS = 60_000;

/** What an import is run with: its options, checked, and whom it talks to. */
export interface Plan<R, V> extends Pick<FanOutOptions<R, V>, "key" | "message" | "validate" | "settings" | "onProgress"> {
  readonly id: string;
  readonly source: string;
  readonly fingerprint: string | undefined;
  readonly runs: ImportRuns;
  readonly target: MessageTarget;
  readonly chunkSize: number;
  readonly maxRejected: number;
  readonly maxBacklog: number;
  readonly signal: AbortSignal | undefined;
  readonly clock: Clock;
  readonly patienceMs: number;
  /** How long a chunk may take to be sent. */
  readonly sendLimitMs: number;
}

/** Throws CONFIG_INVALID. */
export function resolvePlan<R, V>(options: FanOutOptions<R, V>): Plan<R, V> {
  if (typeof options !== "object" || options === null) throw invalid("fanOut(source, options) needs options");
  const { database, schema = DEFAULT_SCHEMA, id = systemRandom.id(), maxBacklog, signal } = options;
  if (!isImportId(id)) throw invalid("id must be 1 to 64 letters, digits, `_`, `.` and `-`, with a `-` at neither end");
  for (const name of ["key", "message", "onProgress"] as const) {
    if (typeof options[name] !== "function" && (name === "key" || options[name] !== undefined)) {
      throw invalid(`${name} must be a function`);
    }
  }
  if (options.validate !== undefined && typeof options.validate !== "function" && !("~standard" in options.validate)) {
    throw invalid("validate must be a function or a Standard Schema");
  }
  if (signal !== undefined && typeof signal.addEventListener !== "function") throw invalid("signal must be an AbortSignal");
  const target = targetOf(options.to, options);
  if (maxBacklog !== undefined && target.backlog === undefined) {
    throw invalid(`maxBacklog: ${target.name} cannot say how many messages wait in it; leave the option out`);
  }
  return {
    ...options,
    id,
    source: options.source ?? DEFAULT_SOURCE,
    fingerprint: options.fingerprint,
    runs: postgresImports({ database, schema, clock: systemClock }),
    target,
    chunkSize: wholeNumber("chunkSize", options.chunkSize ?? target.chunkSize, 1, MAX_CHUNK_SIZE),
    maxRejected: options.maxRejected === undefined ? Infinity : wholeNumber("maxRejected", options.maxRejected, 0),
    maxBacklog: maxBacklog === undefined ? Infinity : wholeNumber("maxBacklog", maxBacklog, 1),
    signal,
    clock: systemClock,
    patienceMs: PATIENCE_MS,
    sendLimitMs: SEND_LIMIT_MS,
  };
}

function wholeNumber(name: string, value: number, min: number, max = Number.MAX_SAFE_INTEGER): number {
  if (Number.isSafeInteger(value) && value >= min && value <= max) return value;
  throw invalid(
    `${name} is ${String(value)}: use a whole number ${max < Number.MAX_SAFE_INTEGER ? `from ${min} to ${max}` : `of ${min} or more`}`,
  );
}

function invalid(what: string): ExclaimError {
  return new ExclaimError("CONFIG_INVALID", what);
}
