import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type FreshDatabase, freshDatabase } from "../support/postgres.ts";
import { ROOT } from "../support/source-files.ts";

const run = promisify(execFile);
const TIMEOUT_MS = 120_000;

let database: FreshDatabase;

beforeAll(async () => {
  database = await freshDatabase();
});

afterAll(async () => {
  await database.drop();
});

describe("the import benchmark's short run", { timeout: TIMEOUT_MS }, () => {
  it("prints one object with every figure", async () => {
    const { stdout } = await bench("--smoke", "--json");

    const report: Record<string, unknown> = JSON.parse(stdout);
    expect(Object.keys(report)).toEqual(["rows", "perSecond", "ratioToBareAddBulk", "peakRssMb", "maxLoopDelayMs"]);
    expect(report.rows).toBe(4_000);
    expect(Object.values(report).every((figure) => typeof figure === "number" && figure > 0)).toBe(true);
  });
});

function bench(...args: readonly string[]) {
  return run(process.execPath, ["--import", "tsx", "bench/import.ts", ...args], {
    cwd: ROOT,
    env: { ...process.env, DATABASE_URL: database.url },
    timeout: TIMEOUT_MS,
    killSignal: "SIGINT",
  });
}
