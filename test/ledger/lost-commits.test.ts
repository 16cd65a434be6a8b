import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { PoolDefinition } from "../../src/ledger/pool-definition.ts";
import { type LedgerDatabase, ledgerDatabase, thrownBy } from "./ledger-database.ts";
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

describe("a fenced transaction", () => {
  // Planted: every error of COMMIT taken as a failure. Planted, too: the fate of the COMMIT asked for while the broken connection is
  // kept, which with one connection, or with all of them broken, never found it out.
  it("S5 resolves when the answer to its COMMIT is lost and it was committed, its work run once", async () => {
    const { ledger, proxy } = await throughProxy(database, { max: 1 });
    const { claim } = await ledger.claimed(pool, "7");
    let runs = 0;

    void proxy.loseAnswer(SAID.commit);
    const value = await ledger.ledger.transact(
      claim,
      async (tx) => {
        runs += 1;
        await tx.query(`insert into note_${tables} values ('written')`);
        return "value";
      },
      (result) => JSON.stringify(result),
    );

    expect([value, runs, await notes()]).toEqual(["value", 1, ["written"]]);
    expect(await ledger.claim(pool, "7")).toEqual({ status: "replayed", result: '"value"' });
  });

  it("S5 resolves when its COMMIT is never answered, though the connection stays", async () => {
    const { ledger, proxy } = await throughProxy(database, { max: 1, statementTimeoutMs: 300 });
    const { claim } = await ledger.claimed(pool, "7");

    void proxy.loseAnswer(SAID.commit, { silently: true });
    await ledger.ledger.transact(claim, (tx) => tx.query(`insert into note_${tables} values ('written')`));

    expect(await notes()).toEqual(["written"]);
  });

  it("S5 resolves for each of many that lose their answers at once and hold all connections there are", async () => {
    const { ledger, proxy } = await throughProxy(database, { max: 3 });
    const claims = await ledger.claims(pool, ["7", "8", "9"]);
    for (const _ of claims) void proxy.loseAnswer(SAID.commit);

    const values = await Promise.all(
      claims.map((claim) =>
        ledger.ledger.transact(claim, async (tx) => {
          await tx.query(`insert into note_${tables} values ($1)`, [claim.claimant]);
          return claim.claimant;
        }),
      ),
    );

    expect(values).toEqual(["7", "8", "9"]);
    expect(await notes()).toEqual(["7", "8", "9"]);
  });

  it("S5 is told DATABASE_UNREACHABLE when its COMMIT never reached the server, and may be run again", async () => {
    const { ledger, proxy } = await throughProxy(database, { max: 1 });
    const { claim } = await ledger.claimed(pool, "7");
    const run = () => ledger.ledger.transact(claim, (tx) => tx.query(`insert into note_${tables} values ('written')`));

    void proxy.cutBefore(SAID.commit);
    const error = await thrownBy(run());
    const before = await notes();
    await run();

    expect(error).toMatchObject({ code: "DATABASE_UNREACHABLE", message: expect.stringContaining("rolled back") });
    expect([before, await notes()]).toEqual([[], ["written"]]);
  });

  for (const [how, away] of [
    ["cut", "is gone"],
    ["hang", "is silent"],
  ] as const) {
    it(`S5 is told COMMIT_UNKNOWN in time when the answer is lost and the server ${away}; the next claim finds out`, async () => {
      const { ledger, proxy } = await throughProxy(database, { max: 1, statementTimeoutMs: 300 });
      const { claim } = await ledger.claimed(pool, "7");
      const lost = proxy.loseAnswer(SAID.commit).then(() => proxy[how]());
      const start = performance.now();

      const error = await thrownBy(
        ledger.ledger.transact(
          claim,
          async () => "value",
          (value) => JSON.stringify(value),
        ),
      );

      await lost;
      expect(error.code).toBe("COMMIT_UNKNOWN");
      expect(performance.now() - start).toBeLessThan(15_000);
      proxy.heal();
      expect(await ledger.claim(pool, "7")).toEqual({ status: "replayed", result: '"value"' });
    });
  }

  const cuts: [where: keyof typeof SAID, ran: boolean][] = [
    ["begin", false],
    ["note", true],
    ["complete", true],
  ];
  for (const [where, ran] of cuts) {
    it(`writes nothing when its connection is cut at ${where}, and its claim stays held`, async () => {
      const { ledger, proxy } = await throughProxy(database, { max: 1 });
      const { claim } = await ledger.claimed(pool, "7");
      let began = false;

      void proxy.cutBefore(SAID[where]);
      const failing = ledger.ledger.transact(
        claim,
        async (tx) => {
          began = true;
          await tx.query(`insert into note_${tables} values ('written')`);
        },
        () => '"done"',
      );

      if (where === "note") await expect(failing).rejects.toThrow();
      else expect((await thrownBy(failing)).code).toBe("DATABASE_UNREACHABLE");
      expect([began, await notes()]).toEqual([ran, []]);
      expect(await ledger.ledger.renew([claim], 30_000)).toEqual(["done"]);
    });
  }
});

function notes(): Promise<unknown[]> {
  return database.column(`select text from note_${tables} order by text`);
}
