import { emptySpans, meets } from "./empty-spans.ts";
import type { Span } from "./fault-spans.ts";
import type { Outcome, OwnerChanged, Violation } from "./history.ts";
import type { HistoryIndex } from "./history-index.ts";
import { violation } from "./violation.ts";

interface Pool {
  readonly changes: OwnerChanged[];
  freeRows: number;
}

/**
 * I11: at the end the table has the rows it was filled with; and `empty` is answered only if no row was free at some moment between
 * the delivery and its outcome, `taken` only if the row that was asked for was not.
 * Free rows over time come from the owner's trigger, which fires before its transaction commits. For a row that is taken this makes
 * the moment of emptiness earlier, which flags nothing wrongly; a row that goes back counts as free only `commitLagMs` later. A
 * claimant whose pool is not known is judged only if all pools had free rows; without times nobody is.
 */
export function honestEmpty(index: HistoryIndex, commitLagMs: number): Violation[] {
  const found: Violation[] = [];
  scanRows(index, found);
  for (const outcome of index.outcomes) if (outcome.status === "taken") scanTaken(index, outcome, commitLagMs, found);
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

/** A row that nobody saw may have been anybody's. */
function scanTaken(index: HistoryIndex, outcome: Outcome, commitLagMs: number, found: Violation[]): void {
  const log = index.deliveries.get(outcome.delivery);
  const delivered = log?.delivered[0];
  const pick = log?.message?.sent[0]?.pick;
  const row = pick === undefined ? undefined : index.resources.get(pick);
  const first = row?.owners[0];
  const last = row?.finalRows[0];
  if (delivered === undefined || row === undefined || (first === undefined && last === undefined)) return;
  const freeRows = (first === undefined ? last?.owner : first.was) === null ? 1 : 0;
  if (meets(emptySpans({ changes: row.owners, freeRows }, commitLagMs), delivered.at, outcome.at)) return;
  const sentence = `${outcome.claimant} was told that ${pick} is taken, which was free all the time from its delivery on`;
  found.push(violation("I11", sentence, delivered, outcome));
}
