import { ExclaimError } from "../errors.ts";
import type { ColumnValue } from "../ledger/pool-definition.ts";
import { columnText } from "../ledger/quote.ts";
import type { ClaimOptions, PoolClaimRequest } from "./pool.ts";

/** Pool, scope and claimant share one index entry, which PostgreSQL bounds at 2,704 bytes. */
export const MAX_CLAIMANT_BYTES = 1_024;
export const MAX_SCOPE_BYTES = 1_024;

/** A day: the longest lease, wait and interval. */
export const MAX_MS = 86_400_000;

/** What `String()` makes of a field that is not there: without this, all such messages would be one claimant. */
const TEXT_OF_NOTHING = ["undefined", "null", "NaN", "[object Object]"];

/**
 * Checks what a message put into a claim before anything is asked of a server.
 * Throws CLAIMANT_MISSING, CLAIMANT_INVALID, SCOPE_INVALID, PICK_INVALID, CONFIG_INVALID.
 */
export function checkRequest(request: PoolClaimRequest): void {
  if (typeof request !== "object" || request === null) {
    throw new ExclaimError("CONFIG_INVALID", "claim(request, handler): the request must be an object with a claimant");
  }
  checkClaimant(request.claimant);
  checkScope(request.scope ?? {});
  if (request.pick !== undefined) checkText(request.pick, "PICK_INVALID", "the picked id", MAX_CLAIMANT_BYTES);
  checkWait(request.waitMs);
  checkSignal(request.signal);
  checkClaimOptions(request);
}

/** A wait that ends: what waits for ever is found by nobody. Throws CONFIG_INVALID. */
export function checkWait(waitMs: number | undefined): void {
  if (waitMs !== undefined) checkMs("waitMs", waitMs, 0, MAX_MS);
}

/** Throws CONFIG_INVALID. */
export function checkSignal(signal: AbortSignal | undefined): void {
  if (signal === undefined || (typeof signal?.addEventListener === "function" && "aborted" in signal)) return;
  throw new ExclaimError("CONFIG_INVALID", "signal is not an AbortSignal: pass controller.signal");
}

/** Throws CONFIG_INVALID unless it is a number of milliseconds from `min` to `max`. */
export function checkMs(name: string, value: number, min: number, max: number): number {
  if (Number.isFinite(value) && value >= min && value <= max) return value;
  throw new ExclaimError("CONFIG_INVALID", `${name} is ${value}: use a number of milliseconds from ${min} to ${max}`);
}

/** Throws CONFIG_INVALID. Also for adapters, which check when they wrap and not at the first message. */
export function checkClaimOptions(options: ClaimOptions): void {
  checkChoice("onReplay", options.onReplay, ["return-result", "rerun"]);
  checkChoice("onFailure", options.onFailure, ["keep", "release"]);
  checkChoice("onGiveUp", options.onGiveUp, ["keep", "release"]);
  checkChoice("lockBy", options.lockBy, ["claimant", "row", "both"]);
  checkMaxHold(options.maxHoldMs);
}

/** Throws CONFIG_INVALID. */
export function checkMaxHold(maxHoldMs: number | undefined): void {
  if (maxHoldMs === undefined || (typeof maxHoldMs === "number" && maxHoldMs > 0)) return;
  throw new ExclaimError("CONFIG_INVALID", `maxHoldMs is ${maxHoldMs}: use a number of milliseconds above 0`);
}

/** Throws CONFIG_INVALID. */
export function checkMode(mode: string | undefined): void {
  checkChoice("mode", mode, ["exclusive", "shared"]);
}

function checkChoice(name: string, value: string | undefined, choices: readonly string[]): void {
  if (value === undefined || choices.includes(value)) return;
  throw new ExclaimError("CONFIG_INVALID", `${name} is "${String(value).slice(0, 80)}": use one of ${choices.join(", ")}`);
}

/** Throws CLAIMANT_MISSING, CLAIMANT_INVALID. */
export function checkClaimant(claimant: unknown): asserts claimant is string {
  if (typeof claimant === "number" || typeof claimant === "bigint") {
    throw new ExclaimError("CLAIMANT_MISSING", `the claimant is a ${typeof claimant}: pass String(...) of it`);
  }
  if (typeof claimant !== "string" || claimant === "") {
    throw new ExclaimError(
      "CLAIMANT_MISSING",
      "the message has no claimant: the claimant option must return a text that is not empty",
    );
  }
  if (isTextOfNothing(claimant)) {
    throw new ExclaimError(
      "CLAIMANT_MISSING",
      `the claimant is "${claimant}", the text of a missing value: the field it is read from is not in the message`,
    );
  }
  checkText(claimant, "CLAIMANT_INVALID", "the claimant", MAX_CLAIMANT_BYTES);
}

export function isTextOfNothing(text: string): boolean {
  return TEXT_OF_NOTHING.includes(text);
}

/** Throws SCOPE_INVALID. */
export function checkScope(scope: unknown): void {
  if (typeof scope !== "object" || scope === null || Array.isArray(scope)) {
    throw new ExclaimError("SCOPE_INVALID", "the scope must be an object of column values, such as { campaign_id: 42 }");
  }
  let bytes = 0;
  for (const [column, value] of Object.entries(scope)) {
    if (value === null || value === undefined || Number.isNaN(value instanceof Date ? value.getTime() : value)) {
      throw new ExclaimError(
        "SCOPE_INVALID",
        `the scope's value for "${column.slice(0, 80)}" is missing: null selects no subset`,
        {
          column: column.slice(0, 80),
        },
      );
    }
    if (typeof value === "string")
      checkText(value, "SCOPE_INVALID", `the scope's value for "${column.slice(0, 80)}"`, MAX_SCOPE_BYTES);
    if (typeof value === "function" || typeof value === "symbol") {
      throw new ExclaimError(
        "SCOPE_INVALID",
        `the scope's value for "${column.slice(0, 80)}" is a ${typeof value}, not a column value`,
      );
    }
    if (!column.isWellFormed()) {
      throw new ExclaimError("SCOPE_INVALID", "a column of the scope holds half a character (a lone surrogate)");
    }
    bytes += Buffer.byteLength(column) + Buffer.byteLength(textOf(column, value));
  }
  if (bytes > MAX_SCOPE_BYTES) {
    throw new ExclaimError(
      "SCOPE_INVALID",
      `the scope is longer than ${MAX_SCOPE_BYTES} bytes: select by fewer or shorter values`,
    );
  }
}

/** Throws SCOPE_INVALID: nested too deep, or with a cycle. */
function textOf(column: string, value: ColumnValue): string {
  try {
    return columnText(value);
  } catch (cause) {
    const name = column.slice(0, 80);
    throw new ExclaimError("SCOPE_INVALID", `the scope's value for "${name}" has no text: pass a plain value`, {
      column: name,
      cause,
    });
  }
}

/** Throws `code` unless it is a text that PostgreSQL can store, not empty and not too long. */
export function checkText(
  text: unknown,
  code: "CLAIMANT_INVALID" | "SCOPE_INVALID" | "PICK_INVALID" | "KEY_INVALID" | "CONFIG_INVALID",
  what: string,
  maxBytes: number,
): asserts text is string {
  if (typeof text !== "string" || text === "") throw new ExclaimError(code, `${what} must be a text that is not empty`);
  // The length in characters first: counting the bytes of 10 MB only to refuse them would be work done for nothing.
  if (text.length > maxBytes || Buffer.byteLength(text) > maxBytes) {
    throw new ExclaimError(code, `${what} is longer than ${maxBytes} bytes: use an id, not the thing itself`);
  }
  if (text.includes("\0")) throw new ExclaimError(code, `${what} holds a NUL byte, which PostgreSQL does not store`);
  if (!text.isWellFormed()) throw new ExclaimError(code, `${what} holds half a character (a lone surrogate)`);
}
