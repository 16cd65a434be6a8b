/**
 * Leader election: of any number of processes one leads, until it stops, dies or hangs; then another one does, with a higher term.
 *
 *     DATABASE_URL=postgres://… npx tsx leader-election.ts     # start as many as you like
 *
 * The term is the claim's token. A leader that was paused finds out by its signal; what it still tries to write is refused, since
 * everything is written under its term.
 */
import { setTimeout as delay } from "node:timers/promises";
import { createExclaim } from "exclaim";
import pg from "pg";

const database = new pg.Pool({ connectionString: process.env.DATABASE_URL });
const exclaim = createExclaim({ database, ttlMs: Number(process.env.TTL_MS ?? 5_000) });
await exclaim.migrate();
await database.query("create table if not exists leader_beat (id bigserial primary key, term bigint, pid int)");
const stopping = new AbortController();
process.once("SIGTERM", () => stopping.abort());

const election = exclaim.resource("billing");
while (!stopping.signal.aborted) {
  let hasLed = false;
  // Whoever waits is asked for nothing; a day is the longest wait, so go round.
  const outcome = await election.claim({ key: "leader", waitMs: 86_400_000, signal: stopping.signal }, async (claim) => {
    hasLed = true;
    console.log(`${process.pid} leads, term ${claim.token}`);
    while (!claim.signal.aborted) {
      await claim.transaction((tx) =>
        tx.query("insert into leader_beat (term, pid) values ($1, $2)", [String(tx.token), process.pid]),
      );
      await delay(100);
    }
  });
  const why = "error" in outcome && outcome.error instanceof Error ? `: ${outcome.error.message}` : "";
  if (hasLed) console.log(`${process.pid} leads no more, ${outcome.status}${why}`);
  // A database that is away is not asked again at once.
  if (outcome.status === "failed") await delay(500);
}

await exclaim.close();
await database.end();
