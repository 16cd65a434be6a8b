import { type ChildProcessByStdio, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import type { Scores } from "../../src/cli/demo/report.ts";
import { type FreshDatabase, freshDatabase } from "../support/postgres.ts";
import { type RabbitmqServer, startRabbitmq } from "../support/rabbitmq.ts";

const MAIN = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
const TIME_LIMIT_MS = 240_000;
const KEYS = ["users", "vouchers", "delivered", "withoutVoucher", "overwritten", "notifiedWrong", "doubled", "lost", "ms"];

// A server of our own, on which every queue that there is was made by the demo.
let rabbitmq: RabbitmqServer;
let database: FreshDatabase;
beforeAll(async () => {
  [rabbitmq, database] = await Promise.all([startRabbitmq(), freshDatabase()]);
});
afterAll(async () => {
  await Promise.all([rabbitmq?.stop(), database?.drop()]);
});

const folders: string[] = [];
afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true });
});

describe("exclaim demo", { timeout: TIME_LIMIT_MS }, () => {
  it("shows two handlers that give vouchers away wrongly and one that does not, and leaves nothing behind", async () => {
    const { child, temporary } = await launch(["--json"]);

    const { scores, progress } = await finished(child);

    expectShown(scores);
    expect(progress).toContain("BullMQ on PostgreSQL; locks in PostgreSQL; 4 pods of 8");
    expect(progress).toContain("2100 users, 60 of them listed twice");
    expect(progress).toContain("1 pod killed and replaced");
    expect(child.exitCode).toBe(0);
    expect(await readdir(temporary)).toEqual([]);
  });

  // Planted: remove() without the dead-letter queue; the hand-written consumer acknowledges before its handler.
  it("shows the same on RabbitMQ, and leaves no queue there and no schema in a database of the user's", async () => {
    const { child } = await launch(["--json"], { AMQP_URL: rabbitmq.url, DATABASE_URL: database.url });

    const { scores, progress } = await finished(child);

    expectShown(scores);
    expect(scores.naive.lost).toBe(0);
    expect(scores.lockAfterRead.lost).toBe(0);
    expect(progress).toMatch(/RabbitMQ [\d.]+ \(AMQP_URL\); locks in PostgreSQL; 4 pods of 8/);
    expect(progress).toContain("1 pod killed and replaced");
    expect(child.exitCode).toBe(0);
    expect(await queues()).toEqual([]);
    expect(await schemas()).toEqual([]);
  });

  it("ends its processes and removes its directories and queues when it is interrupted", async () => {
    const { child, temporary } = await launch([], { AMQP_URL: rabbitmq.url });
    let progress = "";
    child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
      progress += chunk;
    });
    await vi.waitUntil(() => /update: \d+ of/.test(progress), { timeout: 120_000, interval: 50 });
    const children = await childrenOf(child.pid);
    // Each variant has its own: between two of them there are none.
    const made = await vi.waitUntil(
      async () => {
        const names = await queues();
        return names.length === 4 && names;
      },
      { timeout: 60_000, interval: 50 },
    );

    child.kill("SIGINT");
    await ended(child);

    expect(child.exitCode).toBe(130);
    expect(children.length).toBeGreaterThan(4);
    expect(children.filter(isAlive)).toEqual([]);
    expect(made).toHaveLength(4);
    expect(await queues()).toEqual([]);
    expect(await readdir(temporary)).toEqual([]);
  });
});

type Demo = ChildProcessByStdio<null, Readable, Readable>;

/** Runs the demo on these servers, and where there are none on its own, with a temporary directory of its own to look into afterwards. */
async function launch(
  args: readonly string[],
  servers: Readonly<Record<string, string>> = {},
): Promise<{ child: Demo; temporary: string }> {
  const temporary = await mkdtemp(join(tmpdir(), "exclaim-demo-"));
  folders.push(temporary);
  await chmod(temporary, 0o755);
  const { DATABASE_URL, REDIS_URL, AMQP_URL, ...env } = process.env;
  const child = spawn(process.execPath, [MAIN, "demo", ...args], {
    env: { ...env, ...servers, TMPDIR: temporary },
    stdio: ["ignore", "pipe", "pipe"],
  });
  return { child, temporary };
}

async function finished(child: Demo): Promise<{ scores: Scores; progress: string }> {
  const [output, progress] = await Promise.all([text(child.stdout), text(child.stderr)]);
  await ended(child);
  return { scores: JSON.parse(output), progress };
}

/** Two handlers give vouchers away wrongly, one does not. */
function expectShown(scores: Scores): void {
  expect(Object.keys(scores)).toEqual(["naive", "lockAfterRead", "withClaim"]);
  for (const score of Object.values(scores)) {
    expect(Object.keys(score)).toEqual(KEYS);
    expect(score).toMatchObject({ users: 2_100, vouchers: 2_205, ms: expect.any(Number) });
  }
  expect(scores.withClaim).toMatchObject({ withoutVoucher: 0, overwritten: 0, notifiedWrong: 0, doubled: 0, lost: 0 });
  expect(scores.naive.withoutVoucher).toBeGreaterThan(0);
  expect(scores.naive.overwritten).toBeGreaterThan(0);
  expect(scores.naive.notifiedWrong).toBeGreaterThan(0);
  expect(scores.lockAfterRead.overwritten).toBeGreaterThan(0);
  expect(new Set(Object.values(scores).map((score) => score.delivered)).size).toBe(1);
  expect(scores.withClaim.delivered).toBe(2_267);
}

/** The names of all queues of the server. */
async function queues(): Promise<string[]> {
  const names = await rabbitmq.rabbitmqctl("list_queues", "--no-table-headers", "name");
  return names.split("\n").filter((name) => name !== "");
}

/** The schemas of the database that are not its own. */
async function schemas(): Promise<string[]> {
  const { rows } = await database.pool.query(
    "select nspname from pg_namespace where nspname not like 'pg\\_%' and nspname not in ('public', 'information_schema')",
  );
  return rows.map(({ nspname }) => nspname);
}

async function ended(child: Demo): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
}

async function childrenOf(pid: number | undefined): Promise<number[]> {
  const { stdout } = await promisify(execFile)("ps", ["-A", "-o", "pid=,ppid="]);
  const pairs = stdout
    .trim()
    .split("\n")
    .map((line) => line.trim().split(/ +/).map(Number));
  return pairs.filter(([, parent]) => parent === pid).map(([child]) => child ?? 0);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
