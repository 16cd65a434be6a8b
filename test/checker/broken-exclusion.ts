import type { Span } from "./fault-spans.ts";
import type { Fault, LockCommand } from "./history.ts";

/** When a lock may be had twice: from when a fault was put in, for its probe looks later, until it was healed. */
export function brokenExclusion(faults: readonly Fault[]): Span[] {
  const open = new Map<string, Span>();
  for (const { id, phase, at, breaksExclusion } of faults) {
    const known = open.get(id);
    if (phase === "healed") {
      if (known !== undefined) open.set(id, { fromAt: known.fromAt, toAt: at });
    } else if (breaksExclusion === true && known === undefined) open.set(id, { fromAt: at, toAt: Number.POSITIVE_INFINITY });
  }
  return [...open.values()];
}

/** A lock that was forgotten is had twice after the fault too, until its time would have been over. */
export function isBroken(spans: readonly Span[], last: LockCommand | undefined, event: LockCommand): boolean {
  const sinceAt = last?.at ?? event.at;
  return event.did === "acquired" && spans.some(({ fromAt, toAt }) => fromAt <= event.at && toAt >= sinceAt);
}
