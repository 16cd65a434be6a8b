import type { Span } from "./fault-spans.ts";
import type { OwnerChanged } from "./history.ts";

/** Rows, how many of them were free at first, and what became of them. */
export interface RowChanges {
  readonly changes: readonly OwnerChanged[];
  readonly freeRows: number;
}

/**
 * When none of the rows was free, in order and apart. A row that goes back is free `commitLagMs` later. All of time, where a change's
 * own time is not known.
 */
export function emptySpans({ changes, freeRows }: RowChanges, commitLagMs: number): Span[] {
  const steps: { readonly at: number; readonly by: number }[] = [];
  for (const { at, was, became } of changes) {
    if (!Number.isFinite(at)) return [{ fromAt: Number.NEGATIVE_INFINITY, toAt: Number.POSITIVE_INFINITY }];
    if (was === null && became !== null) steps.push({ at, by: -1 });
    else if (was !== null && became === null) steps.push({ at: at + commitLagMs, by: 1 });
  }
  // At one time rows are taken first: a moment of emptiness between is possible.
  steps.sort((one, other) => one.at - other.at || one.by - other.by);
  const spans: Span[] = [];
  let free = freeRows;
  let fromAt = free <= 0 ? Number.NEGATIVE_INFINITY : undefined;
  for (const { at, by } of steps) {
    free += by;
    if (free <= 0) fromAt ??= at;
    else if (fromAt !== undefined) {
      spans.push({ fromAt, toAt: at });
      fromAt = undefined;
    }
  }
  if (fromAt !== undefined) spans.push({ fromAt, toAt: Number.POSITIVE_INFINITY });
  return spans;
}

/** Whether any span touches the time between. Spans are in order and apart: the first that ends late enough decides. */
export function meets(spans: readonly Span[], fromAt: number, toAt: number): boolean {
  let low = 0;
  let high = spans.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((spans[middle]?.toAt ?? fromAt) < fromAt) low = middle + 1;
    else high = middle;
  }
  const span = spans[low];
  return span !== undefined && !(span.fromAt > toAt);
}
