import type { Held, Leased, Violation } from "./history.ts";
import type { HistoryIndex } from "./history-index.ts";
import { violation } from "./violation.ts";

/**
 * I9: `assertHeld()` returns only to a process whose lease has not run out by its own clock.
 * The process may be stopped between the call's return and the line it logs: `askedAt`, from before the call, is what is compared
 * where it is known. A renewal that names no resource is of all that the process held when it was sent; its answer may come after
 * that of a later one, so that the latest deadline counts, not the last. Who never logged a lease is not judged.
 */
export function heldInTime(index: HistoryIndex): Violation[] {
  const found: Violation[] = [];
  for (const events of index.leases.values()) scanProcess(events, found);
  return found;
}

function scanProcess(events: readonly (Leased | Held)[], found: Violation[]): void {
  let ofAll: Leased | undefined;
  const ofOne = new Map<string, Leased>();
  for (const event of events) {
    if (event.what === "leased") {
      if (event.resource === undefined) ofAll = later(ofAll, event);
      else {
        const key = keyOf(event.resource, event.token);
        ofOne.set(key, later(ofOne.get(key), event));
      }
      continue;
    }
    const own = ofOne.get(keyOf(event.resource, event.token)) ?? ofOne.get(keyOf(event.resource, undefined));
    const isCovered = ofAll !== undefined && (own === undefined || ofAll.sentAt >= own.sentAt);
    const lease = isCovered && ofAll !== undefined ? (own === undefined ? ofAll : later(own, ofAll)) : own;
    if (lease === undefined || !((event.askedAt ?? event.at) > lease.sentAt + lease.ttlMs)) continue;
    const lateMs = (event.askedAt ?? event.at) - lease.sentAt - lease.ttlMs;
    found.push(
      violation("I9", `${event.by} was told that it holds ${event.resource}, ${lateMs} ms after its lease`, lease, event),
    );
  }
}

function keyOf(resource: string, token: number | undefined): string {
  return token === undefined ? resource : `${resource}#${token}`;
}

function later(one: Leased | undefined, other: Leased): Leased {
  return one === undefined || other.sentAt + other.ttlMs > one.sentAt + one.ttlMs ? other : one;
}
