import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";

const PROGRAM = fileURLToPath(new URL("./sim.ts", import.meta.url));
const TIME_LIMIT_MS = 60_000;

async function run(...args: string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(process.execPath, ["--import", "tsx", PROGRAM, ...args]);
  return stdout;
}

test(
  "with --json there is one object on stdout",
  async () => {
    const { seeds, events, faults, violations, ...rest } = JSON.parse(await run("--seeds", "40", "--from", "11", "--json"));

    expect(seeds).toBe(40);
    expect(events).toBeGreaterThan(1_000);
    expect(faults).toBeGreaterThan(10);
    expect(violations).toBe(0);
    expect(rest).toEqual({});
  },
  TIME_LIMIT_MS,
);

test(
  "processes that share the seeds come to the same numbers as one that runs all of them",
  async () => {
    const alone = await run("--seeds", "40", "--json");

    const shared = await run("--seeds", "40", "--workers", "2", "--json");

    expect(shared).toBe(alone);
  },
  TIME_LIMIT_MS,
);
