import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { readOptions, USAGE } from "./read-options.ts";
import { judgeSeed } from "./run-seed.ts";
import { addRun, addTotals, faultCount, NOTHING, reportOf } from "./totals.ts";

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
  [["--seeds", "abc"], '--seeds must be a whole number from 1 to 4294967295, and is "abc"'],
  [["--seeds", "0"], '--seeds must be a whole number from 1 to 4294967295, and is "0"'],
  [["--seeds", "-5"], '--seeds must be a whole number from 1 to 4294967295, and is "-5"'],
  [["--seeds=-5"], '--seeds must be a whole number from 1 to 4294967295, and is "-5"'],
  [["--workers", "x"], '--workers must be a whole number from 1 to 4294967295, and is "x"'],
  [["--seed", "1.5"], '--seed must be a whole number from 0 to 4294967295, and is "1.5"'],
  [["--seed", "17", "--seeds", "4"], "--seed runs one seed alone, and --seeds is for many: leave one of them out"],
  [["--keep-going", "--seed", "17"], "--seed runs one seed alone, and --keep-going is for many: leave one of them out"],
  [["--bananas"], "Unknown option '--bananas'"],
])("%j is refused by one line", (args, line) => {
  expect(() => readOptions(args)).toThrow(new Error(line));
});

test(
  "what is not understood ends with exit code 64 and the list of options, and nothing is said to be kept",
  async () => {
    const refused = await run("--seeds", "0").catch((error: unknown) => error);

    expect(refused).toMatchObject({ code: 64, stdout: "" });
    expect((refused as { stderr: string }).stderr).toBe(
      `--seeds must be a whole number from 1 to 4294967295, and is "0"\n${USAGE}\n`,
    );
  },
  TIME_LIMIT_MS,
);

test("--help lists the options", async () => expect(await run("--help")).toBe(`${USAGE}\n`), TIME_LIMIT_MS);

test.each([
  [1, "1 seed, 10 events, 1 operation judged, 90.0 virtual seconds.\nNo fault hit.\n1 violation, in seed 7.\n"],
  [2, "2 seeds, 20 events, 2 operations judged, 3.0 virtual minutes.\nNo fault hit.\n2 violations, in seeds 7, 7.\n"],
])("the report of %i says what there is one of, and what more", (runs, report) => {
  const one = { ...NOTHING, seeds: 1, events: 10, operations: 1, virtualMs: 90_000, violations: 1, failing: [7] };

  const totals = Array.from({ length: runs }, () => one).reduce(addTotals, NOTHING);

  expect(reportOf(totals)).toBe(report);
});

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
