import type { Outcome, OwnerChanged, Violation } from "./history.ts";
import type { HistoryIndex } from "./history-index.ts";
import { violation } from "./violation.ts";

/** A span of time in which no row of the pool was free. */
interface Span {
  readonly fromAt: number;
  readonly toAt: number;
}

interface Pool {
  readonly changes: OwnerChanged[];
  freeRows: number;
}

/**
 * I11: at the end the table has the rows it was filled with; and `empty` is answered only if no row was free at some moment between
 * the delivery and its outcome.
 * Free rows over time come from the owner's trigger, which fires before its transaction commits. For a row that is taken this makes
 * the moment of emptiness earlier, which flags nothing wrongly; a row that goes back counts as free only `commitLagMs` later. A
 * claimant whose pool is not known is judged only if all pools had free rows; without times nobody is.
 */
export function honestEmpty(index: HistoryIndex, commitLagMs: number): Violation[] {
  const found: Violation[] = [];
  scanRows(index, found);
  const empties = index.outcomes.filter(({ status }) => status === "empty");
  if (empties.length === 0) return found;
  const pools = new Map<string, Span[]>();
  for (const [name, pool] of poolsOf(index)) pools.set(name, emptySpans(pool, commitLagMs));
  for (const outcome of empties) scanEmpty(index, outcome, pools, found);
  return found;
}

function scanRows(index: HistoryIndex, found: Violation[]): void {
  const frame = index.frames.find(({ rows }) => rows !== undefined);
  if (frame?.rows === undefined || !index.hasDump) return;
  let rows = 0;
  for (const { resource, finalRows } of index.resources.values()) {
    if (finalRows.length > 0) rows += 1;
    if (finalRows.length > 1) found.push(violation("I11", `${resource} is in the table twice`, ...finalRows));
  }
  if (rows !== frame.rows) found.push(violation("I11", `the pool was filled with ${frame.rows} rows and has ${rows}`, frame));
}

function poolsOf(index: HistoryIndex): Map<string, Pool> {
  const pools = new Map<string, Pool>();
  let rows = 0;
  for (const { resource, owners, finalRows, isPool } of index.resources.values()) {
    const first = owners[0];
    const last = finalRows[0];
    if (!isPool || (first === undefined && last === undefined)) continue;
    rows += 1;
    const name = first?.pool ?? last?.pool ?? resource.slice(0, Math.max(0, resource.lastIndexOf(":")));
    let pool = pools.get(name);
    if (pool === undefined) {
      pool = { changes: [], freeRows: 0 };
      pools.set(name, pool);
    }
    for (const change of owners) pool.changes.push(change);
    if ((first === undefined ? last?.owner : first.was) === null) pool.freeRows += 1;
  }
  // Rows that were never touched are in the dump alone.
  const filledWith = index.frames.find((frame) => frame.rows !== undefined)?.rows;
  const [only] = pools.values();
  if (!index.hasDump && only !== undefined && filledWith !== undefined) only.freeRows += Math.max(0, filledWith - rows);
  return pools;
}

/** All of time, where a change's own time is not known. */
function emptySpans({ changes, freeRows }: Pool, commitLagMs: number): Span[] {
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

function scanEmpty(
  index: HistoryIndex,
  outcome: Outcome,
  pools: ReadonlyMap<string, readonly Span[]>,
  found: Violation[],
): void {
  const log = index.deliveries.get(outcome.delivery);
  const delivered = log?.delivered[0];
  if (delivered === undefined) return;
  const named = log?.message?.sent[0]?.pool;
  const known = named === undefined ? undefined : pools.get(named);
  const candidates = known === undefined ? [...pools.values()] : [known];
  if (candidates.length === 0 || candidates.some((spans) => meets(spans, delivered.at, outcome.at))) return;
  const sentence = `${outcome.claimant} was refused as empty, and all the time from its delivery on a row was free`;
  found.push(violation("I11", sentence, delivered, outcome));
}

/** Whether any span touches the time between. Spans are in order and apart: the first that ends late enough decides. */
function meets(spans: readonly Span[], fromAt: number, toAt: number): boolean {
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
