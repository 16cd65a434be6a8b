import { ExclaimError } from "../errors.ts";
import type { ClaimSubject } from "../events.ts";
import { throwIfAborted } from "../lease/sleep.ts";
import type { Outcome } from "../settle/outcome.ts";
import type { EngineParts } from "./engine-parts.ts";

/** One delivery as the engine counts and reports it. */
export interface Delivery<T> {
  readonly subject: ClaimSubject;
  readonly handler: unknown;
  readonly signal: AbortSignal | undefined;
  deliver(): Promise<Outcome<T>>;
}

/** Counts a delivery as running, makes an outcome of whatever is thrown, and tells how it ended. Never throws. */
export async function deliver<T>(parts: EngineParts, delivery: Delivery<T>): Promise<Outcome<T>> {
  const { running, closing } = parts.holding;
  let outcome: Outcome<T>;
  running.enter();
  try {
    // A caller that gave up before it began must not be given anything.
    throwIfAborted(delivery.signal ? [closing, delivery.signal] : [closing]);
    if (typeof delivery.handler !== "function") {
      throw new ExclaimError("CONFIG_INVALID", "claim(request, handler): the handler is not a function");
    }
    outcome = await delivery.deliver();
  } catch (error) {
    outcome = { status: "failed", error };
  }
  running.leave();
  const error = "error" in outcome ? { error: outcome.error } : {};
  parts.events.emit("claim:ended", { ...delivery.subject, status: outcome.status, ...error });
  return outcome;
}

/** No claimant and no key that passes its check is longer. */
const MAX_NAME_LENGTH = 1_024;

/** A name from a message, as it may stand in an event. */
export function nameOf(given: unknown): string {
  return typeof given === "string" ? given.slice(0, MAX_NAME_LENGTH) : "";
}
