import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ClaimPlay } from "./claim-play.ts";
import { type ClaimScript, claimScripts } from "./claim-script.ts";
import { createClaimTables, memorySide, postgresSide } from "./claim-sides.ts";
import { type LedgerDatabase, ledgerDatabase } from "./ledger-database.ts";

let database: LedgerDatabase;

beforeAll(async () => {
  database = await ledgerDatabase();
  await createClaimTables(database.sql);
});

afterAll(() => database.drop());

describe("the claims of both ledgers under any sequence of calls", () => {
  it("S1 S2 S3 S4 S5 S6 are answered alike, and remembered alike", async () => {
    await fc.assert(fc.asyncProperty(claimScripts, agree), { seed: 13, numRuns: 120 });
  }, 120_000);
});

async function agree({ pool, steps }: ClaimScript): Promise<void> {
  const memory = memorySide(pool);
  const postgres = await postgresSide(database.sql, pool);
  const play = new ClaimPlay(memory, postgres);

  for (const step of steps) await play.step(step);

  const [inMemory, stored] = [await memory.state(), await postgres.state()];
  expect(stored.rows).toEqual(inMemory.rows);
  expect(stored.claims).toEqual(expect.arrayContaining([...inMemory.claims]));
  expect(stored.claims).toHaveLength(inMemory.claims.length);
  expect(stored.published).toEqual(inMemory.published);
  expect(stored.effects).toEqual(play.committedEffects);
}
