import { ExclaimError } from "../errors.ts";
import type { Query } from "../ledger/database.ts";
import { isRecoverable } from "../ledger/database-errors.ts";
import { escapedText } from "../ledger/escaped-text.ts";
import { giveBack, type Statements } from "../ledger/run-statement.ts";
import type { DispatcherSettings } from "./dispatcher-settings.ts";
import type { OutboxRoute } from "./outbox-routes.ts";
import { duePartitions, lockPartitions, markRefused, markSent, readRows } from "./outbox-statements.ts";
import { type Refusal, type RefusedRow, sendInOrder, type WaitingRow } from "./send-in-order.ts";

/** A quarter of all partitions: so many dispatchers work side by side without meeting. */
const PARTITIONS_AT_ONCE = 16;
/** Longer than sending a batch takes at most: the server frees the rows of a process that hangs. */
const IDLE_TIMEOUT_MS = 30_000;
const FIRST_RETRY_MS = 1_000;
const LAST_RETRY_MS = 300_000;
const MAX_REASON_LENGTH = 1_000;

/** No connection could be had: the pool is exhausted or the server is away. */
export class NoConnection extends Error {}

/**
 * - `idle`: no row of the route is due.
 * - `busy`: others have those that are due.
 * - `moved`: what was sent and what was refused is committed; with `failure` the destination could not be reached after that.
 */
export type BatchAnswer =
  | { readonly status: "idle" | "busy" }
  | { readonly status: "moved"; readonly refused: readonly RefusedRow[]; readonly failure: ExclaimError | undefined };

/**
 * Sends some of what is due of one route, in one transaction that keeps it from all other dispatchers until its fate is committed.
 * Died in between, or the answer to COMMIT was lost: what was sent is sent again, under the same ids.
 * Throws what the driver throws, and NoConnection.
 */
export async function dispatchBatch(
  settings: DispatcherSettings,
  server: Statements,
  route: OutboxRoute,
): Promise<BatchAnswer> {
  const connection = await server.connect().catch((cause: unknown) => {
    throw new NoConnection(cause instanceof Error ? cause.message : String(cause), { cause });
  });
  const ask = async (query: Query) => (await connection.query({ ...query, query_timeout: server.timeoutMs })).rows;
  let isSound = true;
  try {
    const due = (await ask(duePartitions(settings.schema, route))).map(partitionOf);
    if (due.length === 0) return { status: "idle" };
    return await inTransaction(ask, () => batch(settings, ask, route, due));
  } catch (error) {
    isSound = isRecoverable(error);
    throw error;
  } finally {
    giveBack(connection, isSound);
  }
}

type Ask = (query: Query) => Promise<readonly unknown[]>;

async function inTransaction<T>(ask: Ask, work: () => Promise<T>): Promise<T> {
  await ask({
    text: `begin isolation level read committed; set local idle_in_transaction_session_timeout = ${IDLE_TIMEOUT_MS}`,
  });
  try {
    const value = await work();
    await ask({ text: "commit" });
    return value;
  } catch (error) {
    if (isRecoverable(error)) await ask({ text: "rollback" });
    throw error;
  }
}

/** Inside the transaction. */
async function batch(settings: DispatcherSettings, ask: Ask, route: OutboxRoute, due: readonly number[]): Promise<BatchAnswer> {
  const { schema, lockSpace, batchSize } = settings;
  const locked = (await ask(lockPartitions(lockSpace, someOf(due, settings)))).map(partitionOf);
  if (locked.length === 0) return { status: "busy" };
  // A statement of its own, begun when the locks are held: what others have sent before is sent in its eyes.
  const rows = (await ask(readRows(schema, route, locked, batchSize))) as readonly WaitingRow[];
  if (rows.length === 0) return { status: "busy" };
  const { sent, refused, failure } = await sendInOrder(settings.clock, route, rows);
  const refusedRows = refused.map((refusal) => refusedRow(settings, route, refusal));
  if (sent.length > 0) await ask(markSent(schema, sent));
  if (refusedRows.length > 0) await ask(markRefused(schema, refusedRows));
  return { status: "moved", refused: refusedRows, failure };
}

/** In an order of chance, so that dispatchers meet seldom and no partition is always last. */
function someOf(partitions: readonly number[], { random }: DispatcherSettings): readonly number[] {
  const shuffled = partitions.map((partition) => ({ partition, place: random.fraction() })).sort((a, b) => a.place - b.place);
  return shuffled.slice(0, PARTITIONS_AT_ONCE).map(({ partition }) => partition);
}

function refusedRow({ maxAttempts, random }: DispatcherSettings, route: OutboxRoute, { row, error }: Refusal): RefusedRow {
  const { id, topic, attempts } = row;
  const attempt = attempts + 1;
  const delayMs =
    attempt >= maxAttempts ? null : Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** attempts) * (0.5 + random.fraction() / 2);
  const next = delayMs === null ? "it is parked" : `it is tried again in ${Math.round(delayMs)} ms`;
  const what = `${route.name} refused message ${id} of topic ${JSON.stringify(topic)} for the ${attempt}. of ${maxAttempts} times`;
  return {
    id,
    attempt,
    delayMs,
    // A reason that the database cannot hold would have its whole batch sent for ever.
    reason: escapedText(error.message).slice(0, MAX_REASON_LENGTH),
    error: new ExclaimError("MESSAGE_REFUSED", `${what}, ${next}: ${error.message}`, { cause: error }),
  };
}

function partitionOf(row: unknown): number {
  return (row as { readonly partition: number }).partition;
}
