import type { Clock } from "../clock.ts";
import { isExclaimError } from "../errors.ts";
import { GroupCommit } from "../ledger/group-commit.ts";
import { importRowOf } from "../ledger/import-message-id.ts";
import type { ImportOutcomes, RowOutcome } from "../ledger/imports.ts";
import type { FoundClaim } from "../ledger/ledger.ts";
import type { PoolDefinition } from "../ledger/pool-definition.ts";
import { askAgain } from "./ask-again.ts";
import { checkClaimant, checkScope } from "./check-request.ts";
import { nameOf } from "./delivery.ts";
import type { EngineParts } from "./engine-parts.ts";
import type { MessageEnd, RowNote } from "./row-note.ts";
import { storableId } from "./storable-id.ts";
import { storable, whyGivenUp } from "./why-given-up.ts";

type Became = Pick<RowOutcome, "state" | "resourceId" | "code" | "reason">;

/** Without the ledger's answer nothing is known. Whatever else the ledger says of a claimant, it has no claim of theirs. */
const UNKNOWN = ["DATABASE_UNREACHABLE", "SCHEMA_OUTDATED"] as const;

/** Whether a message was made of a row of a bulk import, by its id alone. */
export function isOfImport(messageId: string | undefined): messageId is string {
  return messageId !== undefined && importRowOf(messageId) !== undefined;
}

/** One row at a time for the engine and many at a time for the database. */
export function rowBatches(outcomes: ImportOutcomes, clock: Clock): GroupCommit<RowOutcome, true> {
  return new GroupCommit({
    async run(rows) {
      await askAgain(clock, () => outcomes.settle(rows));
      return rows.map(() => true as const);
    },
  });
}

/**
 * Records what became of the row that a message was made of. A message of no import costs a look at its id.
 * After: durable. Telling the same end again changes nothing.
 * Throws DATABASE_UNREACHABLE, SCHEMA_OUTDATED, CONFIG_INVALID.
 */
export async function accountRow(
  parts: EngineParts,
  of: { readonly pool: PoolDefinition } | { readonly resource: string },
  note: RowNote,
): Promise<void> {
  const row = importRowOf(note.messageId);
  if (row === undefined) return;
  const became = "pool" in of ? await becameInPool(parts, of.pool, note) : becameOf(note.end, null, note.messageId);
  const pool = "pool" in of ? of.pool.table : of.resource;
  await parts.rowBatches.submit({ ...row, pool: storable(nameOf(pool)), ...became });
}

async function becameInPool(parts: EngineParts, pool: PoolDefinition, note: RowNote): Promise<Became> {
  const { end, messageId } = note;
  const isTold = end.status === "completed" || (end.status === "given-up" && end.hasNoClaim === true);
  return becameOf(end, isTold ? null : await find(parts, pool, note), messageId);
}

/** `found`: the claimant's claim. One that this very message completed is its row, whatever its last delivery has come to. */
function becameOf(end: MessageEnd, found: FoundClaim | null, messageId: string): Became {
  if (end.status === "completed") return { state: "claimed", resourceId: end.resourceId, code: null, reason: null };
  const resourceId = found?.claim.resourceId || null;
  const isItsOwn = found !== null && found.messageId !== null && found.messageId === storableId(messageId);
  if (found?.status === "completed" && isItsOwn) {
    return { state: "claimed", resourceId, code: null, reason: null };
  }
  if (end.status === "replayed") return { state: "replayed", resourceId, code: null, reason: null };
  const why = whyGivenUp(end.error);
  return { state: why.code === "REFUSED" ? "refused" : "dead-lettered", resourceId: null, ...why };
}

async function find(parts: EngineParts, pool: PoolDefinition, note: RowNote): Promise<FoundClaim | null> {
  const { claimant, scope = {} } = note;
  if (claimant === undefined) return null;
  try {
    checkClaimant(claimant);
    checkScope(scope);
    return await askAgain(parts.clock, () => parts.ledger.find(pool, scope, claimant));
  } catch (error) {
    if (!isExclaimError(error) || UNKNOWN.some((code) => error.code === code)) throw error;
    return null;
  }
}
