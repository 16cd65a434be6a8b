import pg from "pg";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { systemClock } from "../../src/clock.ts";
import { migrate } from "../../src/ledger/migrate.ts";
import type { PoolDefinition } from "../../src/ledger/pool-definition.ts";
import { eventually } from "../support/eventually.ts";
import { startPostgres } from "../support/postgres.ts";
import type { ServerProcess } from "../support/server-process.ts";
import { type TestLedger, testLedger, thrownBy } from "./ledger-database.ts";

let server: ServerProcess;
let connections: pg.Pool;
let ledger: TestLedger;
let pool: PoolDefinition;
let tables = 0;

beforeAll(async () => {
  server = await startPostgres();
  connections = new pg.Pool({ connectionString: server.url, max: 3 });
  connections.on("error", () => {});
  await migrate(connections, systemClock, "exclaim");
  ledger = testLedger(connections, { statementTimeoutMs: 500 });
});

afterAll(async () => {
  await connections.end();
  await server.stop();
});

beforeEach(async () => {
  tables += 1;
  pool = { table: `restarted_${tables}`, ownerColumn: "user_id", orderBy: "id" };
  await connections.query(`create table ${pool.table} (id int primary key, user_id bigint)`);
  await connections.query(`insert into ${pool.table} select generate_series(1, 3)`);
});

describe("a PostgreSQL that is killed and started again", () => {
  it("S5 makes calls DATABASE_UNREACHABLE while it is gone, and has kept every claim it acknowledged", async () => {
    const held = await ledger.claimed(pool, "7", { holder: "one delivery" });
    const done = await ledger.claimed(pool, "8");
    await ledger.ledger.complete([{ claim: done.claim, result: '"kept"' }]);

    await server.kill();
    const errors = [
      await thrownBy(ledger.claim(pool, "9")),
      await thrownBy(ledger.ledger.renew([held.claim], 30_000)),
      await thrownBy(ledger.ledger.transact(held.claim, async () => {})),
    ];
    await server.restart();
    const again = await ledger.claimed(pool, "7", { holder: "one delivery" });

    expect(errors.map(({ code }) => code)).toEqual(Array(3).fill("DATABASE_UNREACHABLE"));
    expect(again.claim).toEqual(held.claim);
    expect(await ledger.claim(pool, "8")).toEqual({ status: "replayed", result: '"kept"' });
    expect((await ledger.claimed(pool, "9")).claim.resourceId).toBe("3");
  });

  it("S4 has undone a fenced transaction that was open, and lets its claim go on", async () => {
    const { claim } = await ledger.claimed(pool, "7");

    const error = await thrownBy(
      ledger.ledger.transact(
        claim,
        async (tx) => {
          await tx.query(`update ${pool.table} set user_id = 99 where id = 3`);
          await server.kill();
        },
        () => '"done"',
      ),
    );
    await server.restart();

    expect(error.code).toBe("DATABASE_UNREACHABLE");
    expect(await ledger.ledger.find(pool, {}, "7")).toMatchObject({ status: "held", claim });
    const { rows } = await connections.query(`select user_id from ${pool.table} where id = 3`);
    expect(rows).toEqual([{ user_id: null }]);
  });
});

describe("a PostgreSQL that crashed gives out again the ids of transactions that it had not written down", () => {
  // Planted: the status of the id alone taken for the transaction's; this test failed, a write that is not there was confirmed.
  it("S4 S5 so that nobody is told that such a transaction was committed because another's was, of the same id", async () => {
    // What is not written down when the server is killed is lost, and nothing but a commit writes then.
    await connections.query("alter system set wal_writer_delay = '10s'");
    await connections.query("select pg_reload_conf()");
    const { claim } = await ledger.claimed(pool, "7");
    let lostId = 0n;
    let lastId = 0n;

    const error = await thrownBy(
      ledger.ledger.transact(claim, async (tx) => {
        await tx.query(`update ${pool.table} set user_id = 99 where id = 3`);
        lostId = await idOf(tx);
        await server.kill();
        await server.restart();
        while (lastId < lostId) {
          await inTransaction(async (other) => {
            await other.query(`update ${pool.table} set user_id = 1 where id = 2`);
            lastId = await idOf(other);
          });
        }
      }),
    );

    expect(lastId).toBe(lostId);
    expect(error.code).toBe("COMMIT_UNKNOWN");
    const { rows } = await connections.query(`select user_id from ${pool.table} where id in (2, 3) order by id`);
    expect(rows).toEqual([{ user_id: "1" }, { user_id: null }]);
  });

  it("S5 and asks by the id again in the life that follows", async () => {
    const { claim } = await ledger.claimed(pool, "7");
    await server.kill();
    await server.restart();

    await ledger.ledger.transact(claim, (tx) => tx.query(`update ${pool.table} set user_id = 99 where id = 3`));

    const { rows } = await connections.query(`select user_id from ${pool.table} where id = 3`);
    expect(rows).toEqual([{ user_id: "99" }]);
  });

  async function idOf(client: { query(text: string): Promise<{ rows: unknown[] }> }): Promise<bigint> {
    const { rows } = await client.query("select pg_current_xact_id()::text as id");
    return BigInt((rows[0] as { id: string }).id);
  }

  async function inTransaction(work: (client: pg.PoolClient) => Promise<void>): Promise<void> {
    const client = await connections.connect();
    await client.query("begin");
    await work(client);
    await client.query("commit");
    client.release();
  }
});

describe("a PostgreSQL that hangs", () => {
  it("makes calls DATABASE_UNREACHABLE within the time limit, and answers again when it goes on", async () => {
    const { claim } = await ledger.claimed(pool, "7");

    server.hang();
    const errors = await Promise.all(
      [ledger.claim(pool, "8", { holder: "one delivery" }), ledger.ledger.renew([claim], 30_000)].map(thrownBy),
    );
    server.resume();
    const renewed = await ledger.ledger.renew([claim], 30_000);
    // What was sent to the hung server happens now, maybe at this very moment: until it has, the same holder is contended.
    const answer = await eventually(() => ledger.claimed(pool, "8", { holder: "one delivery" }));

    expect(errors.map(({ code }) => code)).toEqual(["DATABASE_UNREACHABLE", "DATABASE_UNREACHABLE"]);
    expect(renewed).toEqual(["done"]);
    expect(answer).toMatchObject({ attempt: 1, claim: { token: 1n } });
  });
});
