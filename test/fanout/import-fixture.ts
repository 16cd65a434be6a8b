import { randomUUID } from "node:crypto";
import { Queue } from "bullmq";
import { Redis } from "ioredis";
import { onTestFinished } from "vitest";
import { systemClock } from "../../src/clock.ts";
import { type FanOutOptions, type FanOutResult, fanOut, type RowSource } from "../../src/fanout/fan-out.ts";
import type { ImportReportRow, ImportRuns, Imports } from "../../src/ledger/imports.ts";
import { postgresImports } from "../../src/ledger/postgres-imports.ts";
import { type LedgerDatabase, ledgerDatabase } from "../ledger/ledger-database.ts";
import { redisUrl } from "../support/redis.ts";

/** A database and a queue of a test's own to import into. */
export interface ImportFixture {
  readonly database: LedgerDatabase;
  readonly imports: Imports & ImportRuns;
  readonly connection: Redis;
  /** A queue that is removed with the test. */
  openQueue(): Queue;
  /** Imports rows with an `id` into the queue, under an id of its own unless one is given. */
  run<R = Person>(source: RowSource<R>, options: RunOptions<R>): Promise<FanOutResult>;
  report(id: string): Promise<readonly ImportReportRow[]>;
  close(): Promise<void>;
}

export interface Person {
  readonly id: string;
}

export type RunOptions<R> = Pick<FanOutOptions<R>, "to"> & Partial<FanOutOptions<R>>;

export async function importFixture(): Promise<ImportFixture> {
  const database = await ledgerDatabase();
  const connection = new Redis(redisUrl(), { maxRetriesPerRequest: null });
  const imports = postgresImports({ database: database.sql, schema: "exclaim", clock: systemClock });
  return {
    database,
    imports,
    connection,
    openQueue() {
      const queue = new Queue(`q-${randomUUID()}`, { connection });
      onTestFinished(async () => {
        await queue.obliterate({ force: true });
        await queue.close();
      });
      return queue;
    },
    run: (source, options) =>
      fanOut(source, { database: database.sql, key: (row) => (row as Person).id, id: importId(), ...options }),
    async report(id) {
      const rows: ImportReportRow[] = [];
      for await (const row of imports.report(id)) rows.push(row);
      return rows;
    },
    async close() {
      connection.disconnect();
      await database.drop();
    },
  };
}

export function importId(): string {
  return `t${randomUUID().replaceAll("-", "")}`;
}

/** Rows with ids from 1 on. */
export function people(count: number): readonly Person[] {
  return Array.from({ length: count }, (_, at) => ({ id: `p${at + 1}` }));
}

/** The ids of a queue's jobs, without what every id of the import begins with. */
export async function jobKeys(queue: Queue, id: string): Promise<readonly string[]> {
  const jobs = await queue.getJobs(["waiting"], 0, -1, true);
  return jobs.map((job) => (job.id ?? "").replace(`imp-${id}-`, ""));
}
