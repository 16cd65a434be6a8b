import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { createExclaim } from "../../src/index.ts";
import type { ClaimRef, EndAnswer } from "../../src/ledger/ledger.ts";
import type { PoolDefinition } from "../../src/ledger/pool-definition.ts";
import { type LedgerDatabase, ledgerDatabase, type TestLedger, thrownBy } from "./ledger-database.ts";
import { SAID, throughProxy } from "./through-proxy.ts";

let database: LedgerDatabase;
let pool: PoolDefinition;
let tables = 0;

beforeAll(async () => {
  database = await ledgerDatabase();
});

afterAll(() => database.drop());

beforeEach(async () => {
  tables += 1;
  pool = { table: `lost_${tables}`, ownerColumn: "user_id", orderBy: "id" };
  await database.sql.query(`create table ${pool.table} (id int primary key, user_id bigint)`);
  await database.sql.query(`insert into ${pool.table} select generate_series(1, 5)`);
  await database.sql.query(`create table note_${tables} (text text)`);
});

describe("a claim whose answer is lost", () => {
  // Planted: a holder that is not recognised (`own` false): the second call was contended for the whole lease.
  it("S5 was made: the same holder asks again and is given the same claim, each of the batch its own", async () => {
    const { ledger, proxy } = await throughProxy(database);
    await ledger.ledger.find(pool, {}, "7");
    const wish = { holder: "the same delivery" };

    void proxy.loseAnswer(SAID.claim);
    const error = await thrownBy(ledger.claimMany(pool, ["7", "8", "9"], wish));
    const made = await database.column("select claimant || ':' || resource_id from exclaim.claims where pool = $1 order by 1", [
      `public.${pool.table}`,
    ]);
    const answers = await ledger.claimMany(pool, ["7", "8", "9"], wish);
    const other = await ledger.claim(pool, "7");

    expect(error.code).toBe("DATABASE_UNREACHABLE");
    expect(made).toHaveLength(3);
    expect(answers).toMatchObject(
      [7, 8, 9].map((claimant) => ({
        status: "claimed",
        attempt: 1,
        resumed: false,
        claim: { claimant: String(claimant), token: 1n },
      })),
    );
    const given = answers.map((answer) =>
      answer.status === "claimed" ? `${answer.claim.claimant}:${answer.claim.resourceId}` : "",
    );
    expect(given).toEqual(made);
    expect(other.status).toBe("contended");
  });

  it("S5 resumed the row: the same holder asks again and is given the same token and attempt", async () => {
    const { ledger, proxy } = await throughProxy(database);
    await ledger.ledger.fail([(await ledger.claimed(pool, "7")).claim]);

    void proxy.loseAnswer(SAID.claim);
    await thrownBy(ledger.claim(pool, "7", { holder: "the same delivery" }));
    const answer = await ledger.claimed(pool, "7", { holder: "the same delivery" });

    expect(answer).toMatchObject({ attempt: 2, resumed: true, claim: { token: 2n } });
  });

  it("S5 was not made when it never reached the server, and is made by the next call", async () => {
    const { ledger, proxy } = await throughProxy(database);
    await ledger.ledger.find(pool, {}, "7");

    void proxy.cutBefore(SAID.claim);
    const error = await thrownBy(ledger.claim(pool, "7", { holder: "the same delivery" }));
    const before = await database.column(`select count(user_id)::int from ${pool.table}`);
    const answer = await ledger.claimed(pool, "7", { holder: "the same delivery" });

    expect([error.code, before]).toEqual(["DATABASE_UNREACHABLE", [0]]);
    expect(answer.claim.token).toBe(1n);
  });

  it("S5 ends within the time limit when the connection stays silent", async () => {
    const { ledger, proxy } = await throughProxy(database, { statementTimeoutMs: 300 });
    await ledger.ledger.find(pool, {}, "7");

    void proxy.loseAnswer(SAID.claim, { silently: true });
    const error = await thrownBy(ledger.claim(pool, "7", { holder: "the same delivery" }));

    expect(error.code).toBe("DATABASE_UNREACHABLE");
    expect((await ledger.claimed(pool, "7", { holder: "the same delivery" })).claim.token).toBe(1n);
  });
});

describe("the end of a claim whose answer is lost", () => {
  const ends: [
    what: keyof typeof SAID,
    end: (ledger: TestLedger["ledger"], claim: ClaimRef) => Promise<readonly EndAnswer[]>,
  ][] = [
    ["complete", (ledger, claim) => ledger.complete([{ claim, result: '"first"' }])],
    ["fail", (ledger, claim) => ledger.fail([claim])],
    ["release", (ledger, claim) => ledger.release(pool, [claim])],
    ["renew", (ledger, claim) => ledger.renew([claim], 60_000)],
  ];
  for (const [what, end] of ends) {
    // Planted: `done` for a held claim only: the completion that had happened was told as lost.
    it(`S5 is told done when asked again: ${what}`, async () => {
      const { ledger, proxy } = await throughProxy(database);
      const { claim } = await ledger.claimed(pool, "7");
      await ledger.ledger.find(pool, {}, "7");

      void proxy.loseAnswer(SAID[what]);
      const error = await thrownBy(end(ledger.ledger, claim));
      const after = await database.ledger.ledger.find(pool, {}, "7");
      const again = await end(ledger.ledger, claim);

      expect(error.code).toBe("DATABASE_UNREACHABLE");
      expect(again).toEqual(["done"]);
      const statuses = { complete: "completed", fail: "failed", release: "released", renew: "held" };
      expect(after?.status).toBe(statuses[what as keyof typeof statuses]);
    });
  }
});

describe("a delivery", () => {
  const losses: [what: string, pattern: string][] = [
    ["the claim's answer", SAID.claim],
    ["the completion's answer", SAID.complete],
    ["the COMMIT's answer", SAID.commit],
  ];
  for (const [what, pattern] of losses) {
    it(`S5 runs its handler once and is completed though ${what} is lost, and is replayed afterwards`, async () => {
      const { proxy, connections } = await throughProxy(database, { max: 4 });
      const exclaim = createExclaim({ database: connections });
      const vouchers = exclaim.pool(pool);
      let runs = 0;
      const deliver = () =>
        vouchers.claim({ claimant: "7" }, async (claim) => {
          runs += 1;
          if (pattern !== SAID.commit) return "done";
          return claim.complete(async (tx) => {
            await tx.query(`insert into note_${tables} values ('written')`);
            return "done";
          });
        });

      const lost = proxy.loseAnswer(pattern);
      const outcomes = [await deliver(), await deliver()];
      await lost;
      await exclaim.close();

      expect(outcomes).toEqual([
        { status: "completed", result: "done" },
        { status: "replayed", result: "done" },
      ]);
      expect(runs).toBe(1);
    });
  }
});
