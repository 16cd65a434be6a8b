import { Redis } from "ioredis";
import pg from "pg";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createExclaim, type Exclaim } from "../../src/claim/create-exclaim.ts";
import { redlock } from "../../src/lock/redlock.ts";
import { withClaim } from "../../src/queue/bullmq.ts";
import { type FreshDatabase, freshDatabase, startPostgres } from "../support/postgres.ts";
import { startRedisNodes } from "../support/redis.ts";
import type { ServerProcess } from "../support/server-process.ts";
import { type Bull, bullmqSetups, type TestJob } from "./bullmq-setups.ts";

// Servers that are away, tables that are not there, claimants that cannot be: no crash, and no message lost.

const [setup] = bullmqSetups;
const claimant = (job: TestJob): string => String(job.data.user_id);
const handler = async (): Promise<string> => "served";
const TABLE_SQL = `create table voucher_item (id int primary key, code text, user_id text);
  insert into voucher_item values (1, 'A'), (2, 'B'), (3, 'C')`;

let bull: Bull;
let closers: (() => Promise<unknown>)[];

beforeEach(async () => {
  if (setup === undefined) throw new Error("There is no set-up.");
  bull = await setup.open();
  closers = [];
});

afterEach(async () => {
  await bull.close();
  for (const close of closers.reverse()) await close();
});

describe("a database that is away", () => {
  it("when the worker starts puts jobs off, burns no attempt, and the jobs are served when it comes", async () => {
    const server = await ownPostgres();
    const database = openPool(server.url);
    await prepare(open({ database }), database);
    await server.kill();
    bull.work(
      withClaim(handler, { pool: open({ database }).pool({ table: "voucher_item", ownerColumn: "user_id" }), claimant }),
    );

    const ids = await Promise.all([7, 8].map((user_id) => bull.add({ user_id })));
    for (const id of ids) await bull.reaches(id, "delayed");
    await server.restart();

    for (const id of ids) expect(await bull.reaches(id, "completed")).toMatchObject({ returnvalue: "served", attemptsMade: 1 });
    // Told once, however many jobs were put off: the queue itself shows nothing but delayed jobs.
    const told = bull.errors.filter((error) => /jobs are put off/.test(error.message));
    expect(told).toMatchObject([{ code: "DATABASE_UNREACHABLE" }]);
  });

  it("while the handler runs loses no job: the message comes back and the row is the same", async () => {
    const server = await ownPostgres();
    const database = openPool(server.url);
    const exclaim = open({ database, ttlMs: 2_000 });
    await prepare(exclaim, database);
    const keys: string[] = [];
    const pool = exclaim.pool({ table: "voucher_item", ownerColumn: "user_id" });
    bull.work(
      withClaim(
        async (_job: TestJob, claim) => {
          keys.push(claim.key);
          if (keys.length === 1) await server.kill();
          return "served";
        },
        { pool, claimant },
      ),
    );

    const id = await bull.add({ user_id: 7 });
    await bull.reaches(id, "delayed");
    await server.restart();

    expect(await bull.reaches(id, "completed")).toMatchObject({ returnvalue: "served", attemptsMade: 1 });
    expect(new Set(keys).size).toBe(1);
  });
});

describe("lock nodes that are away", () => {
  it("put jobs off until a quorum is back, and no job runs meanwhile", async () => {
    const { database, exclaim, nodes } = await withLocks(3);
    await prepare(exclaim, database.pool);
    await Promise.all(nodes.slice(0, 2).map((node) => node.kill()));
    bull.work(withClaim(handler, { pool: exclaim.pool({ table: "voucher_item", ownerColumn: "user_id" }), claimant }));

    const id = await bull.add({ user_id: 7 });
    await bull.reaches(id, "delayed");
    const { rows } = await database.pool.query("select count(*)::int as claims from exclaim.claims");
    await nodes[0]?.restart();

    expect(rows[0].claims).toBe(0);
    expect(await bull.reaches(id, "completed")).toMatchObject({ returnvalue: "served", attemptsMade: 1 });
  });
});

describe("a pool that cannot be used", () => {
  it("fails the job visibly when its table is missing, and serves its retry once the table is there", async () => {
    const database = await ownDatabase();
    const exclaim = open({ database: database.pool });
    await exclaim.migrate();
    bull.work(withClaim(handler, { pool: exclaim.pool({ table: "voucher_item", ownerColumn: "user_id" }), claimant }));

    const once = await bull.add({ user_id: 7 });
    const failed = await bull.reaches(once, "failed");
    const again = await bull.add({ user_id: 7 }, { attempts: 5, backoff: 100 });
    await bull.reaches(again, "delayed");
    await database.pool.query(TABLE_SQL);

    expect(failed.failedReason).toMatch(/pool table "voucher_item" does not exist.*create it/);
    expect((await bull.reaches(again, "completed")).returnvalue).toBe("served");
  });

  it("puts jobs off before migrate() was called, says to call it, and serves them once it was", async () => {
    const database = await ownDatabase();
    await database.pool.query(TABLE_SQL);
    const exclaim = open({ database: database.pool });
    bull.work(withClaim(handler, { pool: exclaim.pool({ table: "voucher_item", ownerColumn: "user_id" }), claimant }));

    const id = await bull.add({ user_id: 7 });
    await bull.reaches(id, "delayed");
    await exclaim.migrate();

    expect((await bull.reaches(id, "completed")).returnvalue).toBe("served");
    expect(bull.errors).toMatchObject([
      { code: "SCHEMA_OUTDATED", message: expect.stringMatching(/call exclaim\.migrate\(\)/) },
    ]);
  });
});

describe("a claimant that cannot be", () => {
  it.each([
    ["empty", "", /claimant/],
    ["of 10 MB", "x".repeat(10_000_000), /CLAIMANT_INVALID: the claimant is longer than 1024 bytes/],
    ["with a NUL byte", "7\0", /CLAIMANT_INVALID: the claimant holds a NUL byte/],
    ["the text of nothing", "undefined", /CLAIMANT_MISSING: the claimant is "undefined"/],
  ])("%s dead-letters its job on the first try", async (_what, text, reason) => {
    const { pool } = await migrated();
    bull.work(withClaim(handler, { pool, claimant: () => text }));

    const id = await bull.add({ user_id: 7 }, { attempts: 5 });

    expect(await bull.reaches(id, "failed")).toMatchObject({ failedReason: expect.stringMatching(reason), attemptsMade: 1 });
  });

  it("that does not fit the owner column's type dead-letters its job alone", async () => {
    const database = await ownDatabase();
    await database.pool.query(TABLE_SQL.replace("user_id text", "user_id int"));
    const exclaim = open({ database: database.pool });
    await exclaim.migrate();
    const pool = exclaim.pool({ table: "voucher_item", ownerColumn: "user_id" });
    const misfit = (job: TestJob): string => (job.data.user_id === 8 ? "eight" : claimant(job));
    bull.work(withClaim(handler, { pool, claimant: misfit }), { concurrency: 3 });

    const [seven, eight, nine] = await Promise.all([7, 8, 9].map((user_id) => bull.add({ user_id }, { attempts: 5 })));

    expect((await bull.reaches(eight ?? "", "failed")).failedReason).toMatch(/CLAIMANT_INVALID: .*"user_id" of type integer/);
    for (const id of [seven, nine]) expect((await bull.reaches(id ?? "", "completed")).returnvalue).toBe("served");
  });

  it("__proto__ is a claimant like any other", async () => {
    const { pool, database } = await migrated();
    bull.work(withClaim(handler, { pool, claimant: () => "__proto__" }));

    const id = await bull.add({ user_id: 7 });

    expect((await bull.reaches(id, "completed")).returnvalue).toBe("served");
    const { rows } = await database.pool.query("select user_id from voucher_item where user_id is not null");
    expect(rows).toEqual([{ user_id: "__proto__" }]);
  });
});

async function ownPostgres(): Promise<ServerProcess> {
  const server = await startPostgres();
  closers.push(() => server.stop());
  return server;
}

function openPool(connectionString: string): pg.Pool {
  const pool = new pg.Pool({ connectionString });
  pool.on("error", () => {});
  closers.push(() => pool.end());
  return pool;
}

async function ownDatabase(): Promise<FreshDatabase> {
  const database = await freshDatabase();
  closers.push(() => database.drop());
  return database;
}

function open(options: Parameters<typeof createExclaim>[0]): Exclaim {
  const exclaim = createExclaim(options);
  closers.push(() => exclaim.close({ drainMs: 0 }));
  return exclaim;
}

async function prepare(exclaim: Exclaim, database: pg.Pool): Promise<void> {
  await exclaim.migrate();
  await database.query(TABLE_SQL);
}

async function migrated() {
  const database = await ownDatabase();
  const exclaim = open({ database: database.pool });
  await prepare(exclaim, database.pool);
  return { database, pool: exclaim.pool({ table: "voucher_item", ownerColumn: "user_id" }) };
}

async function withLocks(count: number) {
  const [database, nodes] = await Promise.all([ownDatabase(), startRedisNodes(count)]);
  closers.push(() => Promise.all(nodes.map((node) => node.stop())));
  const clients = nodes.map((node) => {
    const client = new Redis(node.url, { maxRetriesPerRequest: 1, retryStrategy: () => 100 });
    client.on("error", () => {});
    closers.push(async () => client.disconnect());
    return client;
  });
  return { database, nodes, exclaim: open({ database: database.pool, lock: redlock(clients) }) };
}
