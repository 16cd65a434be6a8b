/**
 * The engine without a queue: what an HTTP handler or a script does.
 *
 *     DATABASE_URL=postgres://… npx tsx without-a-queue.ts
 */
import { createExclaim } from "exclaim";
import pg from "pg";

interface Seat {
  readonly id: string;
  readonly row_name: string;
}

const database = new pg.Pool({ connectionString: process.env.DATABASE_URL });
await database.query(
  "create table if not exists seat (id text primary key, row_name text, status text, valid_until timestamptz)",
);
await database.query(
  "insert into seat select 'A' || i, 'A', 'free', now() + interval '1 day' from generate_series(1, 3) i on conflict do nothing",
);

const exclaim = createExclaim({ database });
await exclaim.migrate();
// No owner column: `where` and `set` tell a free seat from a taken one.
const seats = exclaim.pool<Seat>({
  table: "seat",
  where: "status = 'free' and valid_until > now()",
  set: { status: "taken" },
  orderBy: "id",
});

const any = await seats.claim({ claimant: "alice" }, async (claim) => claim.row.id);
const again = await seats.claim({ claimant: "alice" }, async (claim) => claim.row.id);
const picked = await seats.claim({ claimant: "bob", pick: "A3" }, async (claim) => claim.row.id);
const taken = await seats.claim({ claimant: "carol", pick: "A3" }, async (claim) => claim.row.id);
console.log(JSON.stringify([any, again, picked, taken]));

await exclaim.close();
await database.end();
