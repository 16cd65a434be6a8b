import type pg from "pg";
import { createExclaim } from "../../../index.ts";
import type { LockBackend } from "../../../lock/lock.ts";
import type { ClaimingHandler, Voucher } from "../broker.ts";
import { work } from "./work.ts";

export interface ClaimingParts {
  readonly database: pg.Pool;
  /** The schema of the table of vouchers. */
  readonly schema: string;
  /** The schema of exclaim's own tables. */
  readonly ledger: string;
  /** Without one the ledger's lease is the only guard. */
  readonly lock: LockBackend | undefined;
}

/** A pod that was killed holds its claims this long. */
const TTL_MS = 2_000;

/**
 * The handler as the manual shows it: one voucher a user, however often the message comes and whichever process dies. Who has one is
 * told by a message that commits with the claim.
 */
export async function claiming({
  database,
  schema,
  ledger,
  lock,
}: ClaimingParts): Promise<ClaimingHandler & { close(): Promise<void> }> {
  const exclaim = createExclaim({ database, schema: ledger, ttlMs: TTL_MS, ...(lock === undefined ? {} : { lock }) });
  await exclaim.migrate();

  const vouchers = exclaim.pool<Voucher>({
    table: `${schema}.voucher_item`,
    ownerColumn: "user_id",
    idColumn: "id",
    orderBy: "id",
  });

  return {
    async handler({ data }, claim) {
      await work();
      await claim.complete(async (tx) => {
        await tx.publish("voucher.assigned", { user_id: data.user_id, code: claim.row.code });
        return { code: claim.row.code };
      });
    },
    options: {
      pool: vouchers,
      claimant: ({ data }) => String(data.user_id),
      onContended: { do: "retry", delayMs: 250 },
    },
    close: () => exclaim.close({ drainMs: 5_000 }),
  };
}
