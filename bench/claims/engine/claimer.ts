/** One process that claims without a queue: see `claimer-calls.ts`. */
import { createExclaim } from "exclaim";
import pg from "pg";
import { serve } from "../../child.ts";
import type { ClaimerCalls, ClaimerSettings } from "./claimer-calls.ts";
import { playUsers } from "./play-users.ts";

const DATABASE_CONNECTIONS = 20;

let concurrency = 1;
let serveUser = async (_user: number): Promise<void> => {};
let close = async (): Promise<void> => {};

serve<ClaimerCalls>({
  async begin(settings) {
    const database = new pg.Pool({ connectionString: settings.databaseUrl, max: DATABASE_CONNECTIONS });
    database.on("error", () => {});
    concurrency = settings.concurrency;
    ({ serveUser, close } = settings.by === "engine" ? engine(database, settings) : byHand(database, settings));
    return undefined;
  },
  claim: (users) => playUsers(serveUser, { ...users, concurrency }),
  async close() {
    await close();
    return undefined;
  },
});

function engine(database: pg.Pool, { table, ledgerSchema }: ClaimerSettings) {
  const exclaim = createExclaim({ database, schema: ledgerSchema });
  const vouchers = exclaim.pool<{ code: string }>({ table, ownerColumn: "user_id" });
  return {
    async serveUser(user: number): Promise<void> {
      const outcome = await vouchers.claim({ claimant: String(user) }, async (claim) => ({ code: claim.row.code }));
      if (outcome.status !== "completed") throw new Error(`a claim ended ${outcome.status}`, { cause: outcome });
    },
    async close(): Promise<void> {
      await exclaim.close();
      await database.end();
    },
  };
}

/** The two statements that hand-written code sends, one after the other. */
function byHand(database: pg.Pool, { table }: ClaimerSettings) {
  const claim = `update ${table} set user_id = $1
    where id = (select id from ${table} where user_id is null order by id limit 1 for update skip locked) returning id, code`;
  const complete = `update ${table} set done = true where id = $1 and user_id = $2`;
  return {
    async serveUser(user: number): Promise<void> {
      const [voucher] = (await database.query<{ id: string; code: string }>(claim, [user])).rows;
      const completed = await database.query(complete, [voucher?.id, user]);
      if (completed.rowCount !== 1) throw new Error(`user ${user} has no voucher`);
    },
    close: () => database.end(),
  };
}
