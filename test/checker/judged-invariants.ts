import type { InvariantName } from "./history.ts";
import type { HistoryIndex, ResourceLog } from "./history-index.ts";

/** The invariants of which the history shows something to judge, in their order. */
export function judgedInvariants(index: HistoryIndex): InvariantName[] {
  const resources = [...index.resources.values()];
  const has = (test: (log: ResourceLog) => boolean) => resources.some(test);
  const isTimed = index.frames.some(({ withinMs }) => withinMs !== undefined);
  // What was not seen to its end is not scanned.
  if (!index.frames.some(({ mark }) => mark === "ended")) return [];
  const judged: Readonly<Record<InvariantName, boolean>> = {
    I1: has(({ isPool, owners, changes, finalClaims }) => isPool && owners.length + changes.length + finalClaims.length > 0),
    I2: has(({ isPool, started, changes }) => isPool && started.length + changes.length > 0),
    I3: has(({ changes }) => changes.length > 0),
    I4: has(({ wrote }) => wrote.length > 0),
    I5: has(({ started }) => started.length > 0) && (index.changeCount > 0 || index.hasDump),
    I6: index.hasDump && index.messages.size > 0,
    I7: index.hasDump && (index.writes.size > 0 || has(({ finalRows }) => finalRows.length > 0)),
    I8: index.effects.length > 0,
    I9: hasHeld(index),
    I10: index.locks.length > 0,
    I11: index.hasDump && has(({ finalRows }) => finalRows.length > 0),
    I12: true,
    I13: isTimed,
  };
  return (Object.keys(judged) as InvariantName[]).filter((name) => judged[name]);
}

function hasHeld({ leases }: HistoryIndex): boolean {
  for (const events of leases.values()) {
    if (events.some(({ what }) => what === "held") && events.some(({ what }) => what === "leased")) return true;
  }
  return false;
}
