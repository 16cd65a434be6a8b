import { fork } from "node:child_process";
import { once } from "node:events";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { Queue } from "bullmq";
import { systemClock } from "../../src/clock.ts";
import { migrate } from "../../src/ledger/migrate.ts";
import { postgresImports } from "../../src/ledger/postgres-imports.ts";
import type { Stage } from "../stage.ts";
import { writeCsv } from "./write-csv.ts";

const KILLS = 5;
const MAX_DELAY_MS = 20;

/** What the kill runs with `--json`. */
export interface KillsReport {
  readonly rows: number;
  /** Where the importer was by its own account when it was killed. */
  readonly killedAt: readonly number[];
  readonly arrived: number;
  readonly addsUp: boolean;
}

/** What the importer is told. */
export interface KilledTask {
  readonly file: string;
  readonly redisUrl: string;
  readonly databaseUrl: string;
  readonly schema: string;
}

/** Imports a file with a process that is killed (SIGKILL) at random moments and started again with the same id. */
export async function importUnderKills(stage: Stage, rows: number): Promise<KillsReport> {
  const file = await writeCsv(stage, rows);
  const [server] = await stage.startRedis(1);
  const { url: databaseUrl, schema, pool } = await stage.openSchema();
  await migrate(pool, systemClock, schema);
  const task = { file, redisUrl: server?.url ?? "", databaseUrl, schema };
  const moments = Array.from({ length: KILLS }, () => Math.floor(Math.random() * rows)).sort((a, b) => a - b);
  const killedAt: number[] = [];
  for (const moment of [...moments, Number.POSITIVE_INFINITY]) {
    const run = await runImporter(task, moment);
    if (run.isKilled) killedAt.push(run.rows);
  }
  const [connection] = await stage.connect([task.redisUrl], { maxRetriesPerRequest: null });
  if (connection === undefined) throw new Error("no Redis was started");
  const queue = new Queue("killed", { connection });
  const { waiting: arrived = 0 } = await queue.getJobCounts("waiting");
  await queue.close();
  const status = await postgresImports({ database: pool, schema, clock: systemClock }).get("killed");
  const addsUp = status?.rows === rows && status.pending === rows && status.state === "published" && arrived === rows;
  if (!addsUp) throw new Error(`${arrived} of ${rows} rows arrived: ${JSON.stringify(status)}`);
  return { rows, killedAt, arrived, addsUp };
}

interface Run {
  readonly isKilled: boolean;
  readonly rows: number;
}

async function runImporter(task: KilledTask, killAtRow: number): Promise<Run> {
  const importer = fork(fileURLToPath(new URL("./killed-importer.ts", import.meta.url)), [JSON.stringify(task)], {
    stdio: ["ignore", "inherit", "inherit", "ipc"],
  });
  let rows = 0;
  let isKilled = false;
  importer.on("message", (progress) => {
    rows = (progress as { rows: number }).rows;
    if (rows < killAtRow || isKilled) return;
    isKilled = true;
    void delay(Math.random() * MAX_DELAY_MS).then(() => importer.kill("SIGKILL"));
  });
  const [code] = await once(importer, "exit");
  if (!isKilled && code !== 0) throw new Error(`the importer ended with ${code}`);
  return { isKilled, rows };
}
