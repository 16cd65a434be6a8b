import { randomBytes } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Queue } from "bullmq";
import { type LedgerDatabase, ledgerDatabase } from "../ledger/ledger-database.ts";
import { redisUrl } from "../support/redis.ts";
import { type LineOptions, type LineResult, runLine } from "./run-line.ts";

/** Imports into a BullMQ queue of a test's own. */
export interface ImportFixture {
  readonly database: LedgerDatabase;
  readonly queue: Queue;
  readonly env: Record<string, string>;
  /** `--queue`, `--prefix`. */
  readonly to: readonly string[];
  /** Writes a file and returns its path. */
  file(name: string, text: string): Promise<string>;
  line(args: readonly string[], options?: LineOptions): Promise<LineResult>;
  close(): Promise<void>;
}

export async function importFixture(): Promise<ImportFixture> {
  const database = await ledgerDatabase();
  const prefix = `exclaim-${randomBytes(6).toString("hex")}`;
  const queue = new Queue("voucher", { connection: { url: redisUrl() }, prefix });
  const folder = await mkdtemp(join(tmpdir(), "exclaim-import-"));
  const env = { DATABASE_URL: database.url, REDIS_URL: redisUrl() };
  return {
    database,
    queue,
    env,
    to: ["--queue", "voucher", "--prefix", prefix],
    async file(name, text) {
      const path = join(folder, name);
      await writeFile(path, text);
      return path;
    },
    line: (args, options = {}) => runLine(args, { env, ...options }),
    async close() {
      await queue.obliterate({ force: true });
      await queue.close();
      await rm(folder, { recursive: true });
      await database.drop();
    },
  };
}

/** A CSV of so many employees, ids from 1. */
export function employees(count: number): string {
  const rows = Array.from({ length: count }, (_, index) => `${index + 1},Employee ${index + 1},e${index + 1}@example.org`);
  return `id,name,email\n${rows.join("\n")}\n`;
}
