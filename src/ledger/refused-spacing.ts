import { ExclaimError } from "../errors.ts";
import type { Spacing, TakeRequest } from "./resource-ledger.ts";

/** A beat shorter than this has no point between two statements. */
const MIN_BEAT_MS = 1;

/** Why a request cannot be tried at all, or undefined. Code CONFIG_INVALID. */
export function refusedSpacing({ mode, spacing }: TakeRequest): ExclaimError | undefined {
  if (spacing.from === "none") return undefined;
  if (mode === "shared") {
    return new ExclaimError(
      "CONFIG_INVALID",
      "a shared lease knows no spacing: sharers begin and end whenever they like; take it exclusively, or leave the interval out",
    );
  }
  const intervalMs = intervalOf(spacing);
  const minMs = spacing.from === "beat" ? MIN_BEAT_MS : 0;
  if (Number.isFinite(intervalMs) && intervalMs >= minMs) return undefined;
  return new ExclaimError("CONFIG_INVALID", `an interval of ${intervalMs} ms is none: give a number of at least ${minMs}`);
}

/** The interval of a spacing in ms, 0 for none. */
export function intervalOf(spacing: Spacing): number {
  if (spacing.from === "none") return 0;
  return spacing.from === "beat" ? spacing.intervalMs : spacing.minIntervalMs;
}
