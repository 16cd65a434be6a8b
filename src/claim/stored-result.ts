import { ExclaimError } from "../errors.ts";
import type { StoredResult } from "../ledger/ledger.ts";

/**
 * The JSON text that is stored for a handler's result; nothing for undefined.
 * Throws RESULT_NOT_SERIALIZABLE: a bigint, a cycle, or a `toJSON` that throws. Called before anything is committed.
 */
export function storedResult(result: unknown): StoredResult {
  try {
    return JSON.stringify(result);
  } catch (cause) {
    const reason = cause instanceof Error ? (cause.message.split("\n")[0] ?? "") : String(cause);
    throw new ExclaimError(
      "RESULT_NOT_SERIALIZABLE",
      `the handler's result cannot be stored as JSON (${reason}): return plain data, a bigint as a string`,
      { cause },
    );
  }
}

/** What a replay returns. */
export function replayedResult(stored: StoredResult): unknown {
  return stored === undefined ? undefined : JSON.parse(stored);
}
