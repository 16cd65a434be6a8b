import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { LossReport } from "../../bench/locks/losses.ts";
import type { PauseReport } from "../../bench/locks/pauses.ts";
import type { SpacingReport } from "../../bench/locks/spacing.ts";
import type { SplitVoteReport } from "../../bench/locks/split-vote.ts";
import type { ThroughputReport } from "../../bench/locks/throughput.ts";
import { type FreshDatabase, freshDatabase } from "../support/postgres.ts";
import { ROOT } from "../support/source-files.ts";

/** What the program prints with --json. */
interface Report {
  readonly smoke: boolean;
  readonly environment: { readonly packages: Readonly<Record<string, string>> };
  readonly throughput: ThroughputReport;
  readonly losses: LossReport;
  readonly "split-vote": SplitVoteReport;
  readonly pauses: PauseReport;
  readonly spacing: SpacingReport;
  readonly uncaught: readonly string[];
}

const TIMEOUT_MS = 170_000;

let database: FreshDatabase;
let report: Report;
let schemasLeft: readonly string[];

/** The short run: its numbers mean nothing, what must hold of them does. */
beforeAll(async () => {
  database = await freshDatabase();
  const { stdout } = await promisify(execFile)(process.execPath, ["--import", "tsx", "bench/locks.ts", "--smoke", "--json"], {
    cwd: ROOT,
    env: { ...process.env, DATABASE_URL: database.url },
    timeout: TIMEOUT_MS,
    killSignal: "SIGINT",
  });
  report = JSON.parse(stdout);
  const { rows } = await database.pool.query("select nspname from pg_namespace where nspname like 'bench%'");
  schemasLeft = rows.map(({ nspname }) => nspname);
}, TIMEOUT_MS);

afterAll(async () => {
  await database.drop();
});

const EXCLAIM = "exclaim.lock";

describe("the lock benchmark's short run", () => {
  it("names the version of every package", () => {
    const { packages } = report.environment;

    expect(report.smoke).toBe(true);
    expect(Object.keys(packages)).toEqual(["exclaim", "redlock-4", "redlock-5", "redis-semaphore", "ioredis", "pg"]);
    expect(packages["redlock-4"]).toMatch(/^v?4\./);
    expect(packages["redlock-5"]).toMatch(/^v?5\./);
  });

  it("leaves nothing in the database", () => {
    expect(schemasLeft).toEqual([]);
  });

  it("counts cycles of every contender on 1, 3 and 5 nodes with 1 and 100 workers", () => {
    const { rows } = report.throughput;

    expect(groups(rows, ({ nodes, concurrency }) => `${nodes}/${concurrency}`)).toEqual([
      "1/1",
      "1/100",
      "3/1",
      "3/100",
      "5/1",
      "5/100",
    ]);
    expect(groups(rows, ({ contender }) => contender)).toEqual([
      "raw SET and DEL",
      "exclaim back-end",
      EXCLAIM,
      "redlock 4",
      "redlock 5 acquire",
      "redlock 5 using",
      "redis-semaphore",
    ]);
    expect(rows).toHaveLength(42);
    expect(rows.filter(({ perSecond, ratioToRaw }) => !(perSecond.min > 0 && ratioToRaw > 0))).toEqual([]);
  });

  it("shows each contender's way through a stolen key, hung and killed servers", () => {
    const rows = report.losses.rows.limited;

    expect(rows.map(({ contender, nodes }) => `${contender} ${nodes}`).sort()).toEqual([
      "exclaim.lock 1",
      "exclaim.lock 3",
      "redis-semaphore 1",
      "redis-semaphore 3",
      "redlock 4 1",
      "redlock 4 3",
      "redlock 5 using 1",
      "redlock 5 using 3",
    ]);
    expect(rows.filter(({ seen }) => seen === null).map(({ contender }) => contender)).toEqual(["redlock 4", "redlock 4"]);
  });

  // Planted: a lease trusted for twice its ttl: aborts that came late or never.
  it("L1 sees exclaim abort before the servers could give the lock away, as far as its timers were on time", () => {
    const own = report.losses.rows.limited.filter(({ contender }) => contender === EXCLAIM);

    const seen = own.flatMap(({ seen, latestTimerMs }) =>
      Object.values(seen ?? {})
        .flat()
        .map((loss) => ({ ...loss, latestTimerMs })),
    );
    expect(seen).toHaveLength(6);
    expect(seen.filter(({ afterLossMs }) => afterLossMs === null || afterLossMs < 0)).toEqual([]);
    // A timer that the machine held up may be late by that much; `assertHeld()` is not.
    expect(seen.filter(({ afterTtlMs, latestTimerMs }) => afterTtlMs === null || afterTtlMs >= latestTimerMs)).toEqual([]);
    expect(own.map(({ uncaught }) => uncaught)).toEqual([0, 0]);
  });

  it("sees every contender win a split vote or say how often it did not, and exclaim win it always", () => {
    const { rows, rounds } = report["split-vote"];

    expect(rows.map(({ contender }) => contender)).toEqual([EXCLAIM, "redlock 4", "redlock 5 acquire", "redis-semaphore"]);
    expect(rows.filter(({ firstWinMs, unwon }) => (firstWinMs === null) !== (unwon === rounds))).toEqual([]);
    expect(rows[0]).toMatchObject({ unwon: 0, unserved: 0 });
  });

  // Planted: no look at the clock in `assertTrusted`: all of the 8 cycles with assertHeld() overlapped, and no fenced one. The fence
  // left out as well: 7 of the 8 fenced cycles overlapped too.
  it("S4 sees no overlap of fenced effects after a pause, nor with assertHeld(), and sees those of unguarded work", () => {
    const { rows } = report.pauses;
    const overlaps = Object.fromEntries(rows.map(({ use, overlappingEffects }) => [use, overlappingEffects]));

    expect(Object.keys(overlaps)).toEqual([
      "exclaim.lock, assertHeld()",
      "exclaim.lock, signal alone",
      "redlock 4, extended by hand",
      "the same, lock.expiration",
      "redlock 5 using, signal",
      "redis-semaphore, isAcquired",
      "exclaim.resource, claim.transaction()",
    ]);
    expect(rows.filter(({ cycles, effects }) => cycles !== 8 || effects < 8)).toEqual([]);
    expect(overlaps).toMatchObject({ "exclaim.lock, assertHeld()": 0, "exclaim.resource, claim.transaction()": 0 });
    expect(overlaps["redlock 4, extended by hand"]).toBeGreaterThan(0);
  });

  it("sees no two starts of exclaim overlap, whether work is shorter or longer than the interval", () => {
    const { rows } = report.spacing;
    const own = rows.filter(({ contender }) => contender === "exclaim, minIntervalMs");

    expect(rows).toHaveLength(6);
    expect(rows.filter(({ starts, errorMs }) => starts < 6 || Number.isNaN(errorMs.median))).toEqual([]);
    expect(own.map(({ workMs, overlaps }) => [workMs, overlaps])).toEqual([
      [20, 0],
      [150, 0],
    ]);
  });

  it("has no rejection that nobody caught in the program itself", () => {
    expect(report.uncaught).toEqual([]);
  });
});

function groups<T>(rows: readonly T[], nameOf: (row: T) => string): string[] {
  return [...new Set(rows.map(nameOf))];
}
