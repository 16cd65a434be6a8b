import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { Queue } from "bullmq";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { fanOut } from "../../src/fanout/fan-out.ts";
import { createExclaim, type Exclaim, type ImportReportRow } from "../../src/index.ts";
import { eventually } from "../support/eventually.ts";
import { type FreshDatabase, freshDatabase } from "../support/postgres.ts";
import { startRedisNode } from "../support/redis.ts";

const POD = fileURLToPath(new URL("./import-pod.ts", import.meta.url));
const ROWS = 2_000;
const VOUCHERS = 1_700;

let database: FreshDatabase;
let redis: Awaited<ReturnType<typeof startRedisNode>>;
let exclaim: Exclaim;
let queues: Record<"voucher" | "mails", Queue>;
const pods: ChildProcess[] = [];

beforeAll(async () => {
  [database, redis] = await Promise.all([freshDatabase(), startRedisNode()]);
  exclaim = createExclaim({ database: database.pool });
  await exclaim.migrate();
  await database.pool.query("create table voucher_item (id bigint primary key, code text, user_id text)");
  await database.pool.query("insert into voucher_item select i, 'CODE-' || i from generate_series(1, $1) i", [VOUCHERS]);
  await database.pool.query("create index on voucher_item (id) where user_id is null");
  const connection = { url: redis.url, maxRetriesPerRequest: null };
  queues = { voucher: new Queue("voucher", { connection }), mails: new Queue("mails", { connection }) };
});

afterAll(async () => {
  for (const pod of pods) pod.kill("SIGKILL");
  await Promise.all([queues.voucher.close(), queues.mails.close()]);
  await exclaim.close();
  await Promise.all([database.drop(), redis.stop()]);
});

/** Every tenth row is unusable, and every 50th names somebody a second time. */
function* employees() {
  for (let row = 1; row <= ROWS; row += 1) {
    yield { number: row % 50 === 0 ? String(row - 1) : row % 10 === 0 ? "" : String(row) };
  }
}

describe("an import whose workers are killed", () => {
  it("S5 accounts for every row as the vouchers lie, and publishes each notification once by its id", async () => {
    await Promise.all([startPod(), startPod()]);
    const importing = fanOut(employees(), {
      database: database.pool,
      id: "spring",
      to: queues.voucher,
      key: ({ number }) => number,
      message: ({ number }) => ({ user_id: number }),
      validate: ({ number }) => (number === "" ? "no number" : undefined),
    });
    for (const share of [0.2, 0.4, 0.6, 0.8]) {
      await eventually(async () => (await owned()) >= VOUCHERS * share, {
        timeoutMs: 60_000,
        what: `${share} of the vouchers`,
      });
      pods.shift()?.kill("SIGKILL");
      await startPod();
    }

    const result = await importing;
    await eventually(async () => (await exclaim.imports.get("spring"))?.state === "finished", { timeoutMs: 60_000 });

    expect(result).toMatchObject({ status: "published", rows: ROWS, rejected: 160, duplicated: 40 });
    const { rows, claimed, replayed, refused, deadLettered, rejected, duplicated, pending } = (await exclaim.imports.get(
      "spring",
    )) ?? { rows: 0 };
    expect({ rows, claimed, replayed, refused, deadLettered, rejected, duplicated, pending }).toEqual({
      rows: ROWS,
      claimed: VOUCHERS,
      replayed: 0,
      refused: 100,
      deadLettered: 0,
      rejected: 160,
      duplicated: 40,
      pending: 0,
    });
    const told = (await report()).filter(({ state }) => state === "claimed").map(({ key, resourceId }) => [resourceId, key]);
    const { rows: lies } = await database.pool.query({ text: "select id::text, user_id from voucher_item", rowMode: "array" });
    expect(new Map(told as [string, string][])).toEqual(new Map(lies as [string, string][]));
    await eventually(async () => (await queues.mails.getJobCountByTypes("waiting")) === VOUCHERS, { timeoutMs: 30_000 });
    const mails = await queues.mails.getJobs(["waiting"]);
    expect(new Set(mails.map(({ data }) => data.user)).size).toBe(VOUCHERS);
  });
});

async function startPod(): Promise<void> {
  const pod = fork(POD, [database.url, redis.url], {
    execArgv: ["--import", "tsx"],
    stdio: ["ignore", "ignore", "inherit", "ipc"],
  });
  pods.push(pod);
  await once(pod, "message");
}

async function owned(): Promise<number> {
  const { rows } = await database.pool.query("select count(*)::int as owned from voucher_item where user_id is not null");
  return rows[0].owned;
}

async function report(): Promise<ImportReportRow[]> {
  const rows = [];
  for await (const row of exclaim.imports.report("spring")) rows.push(row);
  return rows;
}
