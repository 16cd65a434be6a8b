/** A pod that serves a beat and writes each start down, by the database's clock. Its third argument makes it hang in that run. */
import pg from "pg";
import { createExclaim } from "../../src/claim/create-exclaim.ts";

const [url = "", intervalMs = "", ttlMs = "", hangsAtToken = ""] = process.argv.slice(2);

const database = new pg.Pool({ connectionString: url });
const exclaim = createExclaim({ database, ttlMs: Number(ttlMs) });
const beat = exclaim.resource("report").every(Number(intervalMs), async (claim) => {
  const insert = "insert into beat (token, pid, resumed, at) values ($1, $2, $3, clock_timestamp())";
  await claim.transaction((tx) => tx.query(insert, [String(tx.token), process.pid, claim.resumed]));
  if (String(claim.token) === hangsAtToken) await new Promise(() => {});
});
process.once("SIGTERM", async () => {
  await beat.stop();
  await exclaim.close();
  await database.end();
});
