import { ExclaimError } from "../errors.ts";
import type { Spacing } from "../ledger/resource-ledger.ts";
import {
  checkMaxHold,
  checkMode,
  checkMs,
  checkSignal,
  checkText,
  checkWait,
  isTextOfNothing,
  MAX_MS,
} from "./check-request.ts";
import type { BeatOptions, ResourceClaimOptions, ResourceClaimRequest } from "./resource.ts";

/** Resource and key share one index entry, which PostgreSQL bounds at 2,704 bytes. */
const MAX_KEY_BYTES = 1_024;
const MAX_NAME_BYTES = 256;

/** Throws CONFIG_INVALID. */
export function checkResourceName(name: unknown): string {
  checkText(name, "CONFIG_INVALID", "the name of a resource", MAX_NAME_BYTES);
  return name;
}

/** Throws KEY_MISSING, KEY_INVALID, CONFIG_INVALID. Returns how the key's starts are spaced. */
export function checkResourceRequest(request: ResourceClaimRequest): Spacing {
  if (typeof request !== "object" || request === null) {
    throw new ExclaimError("CONFIG_INVALID", "claim(request, handler): the request must be an object with a key");
  }
  checkKey(request.key);
  checkWait(request.waitMs);
  checkSignal(request.signal);
  checkResourceOptions(request);
  const { minIntervalMs, intervalFrom = "start" } = request;
  return minIntervalMs === undefined ? { from: "none" } : { from: intervalFrom, minIntervalMs };
}

/** Throws CONFIG_INVALID. Also for adapters, which check when they wrap and not at the first message. */
export function checkResourceOptions(options: ResourceClaimOptions): void {
  const { mode, minIntervalMs, intervalFrom, maxHoldMs } = options;
  checkMode(mode);
  checkMaxHold(maxHoldMs);
  if (minIntervalMs !== undefined) checkMs("minIntervalMs", minIntervalMs, 1, MAX_MS);
  if (intervalFrom !== undefined && intervalFrom !== "start" && intervalFrom !== "end") {
    throw new ExclaimError("CONFIG_INVALID", `intervalFrom is "${String(intervalFrom).slice(0, 80)}": use one of start, end`);
  }
  if (mode === "shared" && minIntervalMs !== undefined) {
    throw new ExclaimError(
      "CONFIG_INVALID",
      "minIntervalMs spaces the starts of one holder at a time: it does not go with shared mode",
    );
  }
}

/** Throws CONFIG_INVALID, KEY_MISSING, KEY_INVALID. */
export function checkBeat(intervalMs: number, handler: unknown, options: BeatOptions): void {
  checkMs("intervalMs", intervalMs, 1, MAX_MS);
  checkMaxHold(options.maxHoldMs);
  if (options.key !== undefined) checkKey(options.key);
  checkSignal(options.signal);
  if (typeof handler !== "function")
    throw new ExclaimError("CONFIG_INVALID", "every(intervalMs, handler): the handler is not a function");
}

function checkKey(key: unknown): void {
  if (typeof key === "number" || typeof key === "bigint") {
    throw new ExclaimError("KEY_MISSING", `the key is a ${typeof key}: pass String(...) of it`);
  }
  if (typeof key !== "string" || key === "") {
    throw new ExclaimError("KEY_MISSING", "the message has no key: the key option must return a text that is not empty");
  }
  if (isTextOfNothing(key)) {
    const message = `the key is "${key}", the text of a missing value: the field it is read from is not in the message`;
    throw new ExclaimError("KEY_MISSING", message);
  }
  checkText(key, "KEY_INVALID", "the key", MAX_KEY_BYTES);
}
