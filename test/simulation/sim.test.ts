import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { readOptions } from "./read-options.ts";
import { judgeSeed } from "./run-seed.ts";
import { addRun, faultCount, NOTHING } from "./totals.ts";

const PROGRAM = fileURLToPath(new URL("./sim.ts", import.meta.url));
const TIME_LIMIT_MS = 60_000;

async function run(...args: string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(process.execPath, ["--import", "tsx", PROGRAM, ...args]);
  return stdout;
}

test(
  "a few thousand seeds break no promise, and with --json there is one object on stdout",
  async () => {
    const { seeds, events, faults, violations, ...rest } = JSON.parse(await run("--seeds", "2000", "--json"));

    expect(seeds).toBe(2_000);
    expect(events).toBeGreaterThan(100_000);
    expect(faults).toBeGreaterThan(1_000);
    expect(violations).toBe(0);
    expect(rest).toEqual({});
  },
  TIME_LIMIT_MS,
);

test.each([
  [["--seeds", "abc"], '--seeds must be a whole number from 1 on, and is "abc"'],
  [["--seeds", "0"], '--seeds must be a whole number from 1 on, and is "0"'],
  [["--workers", "x"], '--workers must be a whole number from 1 on, and is "x"'],
  [["--seed", "-1.5"], "Option '--seed' argument is ambiguous."],
  [["--bananas"], "Unknown option '--bananas'"],
])("%j is refused by one line", (args, line) => {
  expect(() => readOptions(args)).toThrow(line);
});

test(
  "what is not understood ends with exit code 64, and nothing is said to be kept",
  async () => {
    const refused = await run("--seeds", "0").catch((error: unknown) => error);

    expect(refused).toMatchObject({ code: 64, stdout: "" });
    expect((refused as { stderr: string }).stderr).toBe('--seeds must be a whole number from 1 on, and is "0"\n');
  },
  TIME_LIMIT_MS,
);

test(
  "processes that share the seeds come to the same numbers as one that runs all of them",
  async () => {
    let alone = NOTHING;
    for (let seed = 1; seed <= 40; seed += 1) alone = addRun(alone, await judgeSeed(seed));

    const shared = await run("--seeds", "40", "--workers", "2", "--json");

    expect(JSON.parse(shared)).toEqual({ seeds: 40, events: alone.events, faults: faultCount(alone), violations: 0 });
  },
  TIME_LIMIT_MS,
);
