import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { CaseReport } from "../../bench/claims/bench-case.ts";
import { GROUPS } from "../../bench/claims/groups.ts";
import { type FreshDatabase, freshDatabase } from "../support/postgres.ts";
import { rabbitmqUrl } from "../support/rabbitmq.ts";
import { ROOT } from "../support/source-files.ts";

const run = promisify(execFile);
const TIMEOUT_MS = 240_000;

/** In the order of the report. */
const SOME = [
  ...["hand-written", "with-claim-redlock-3", "with-claim-ledger"],
  ...["rabbitmq-with-claim-redlock-1", "cluster-with-claim-ledger"],
  ...["engine-100", "pgbench-100"],
  ...["pg-boss", "growth-held-1e5", "growth-scopes-100", "memory"],
];

let database: FreshDatabase;

beforeAll(async () => {
  database = await freshDatabase();
});

afterAll(async () => {
  await database.drop();
});

describe("the claims benchmark", { timeout: TIMEOUT_MS }, () => {
  // The program fails when a claimant has no row or two, or a row two owners. Of each part some cases, since a run of all takes a minute
  // and a half.
  it("S1 S2 runs cases of every part, finds one row for each claimant, and prints one object", async () => {
    const { stdout } = await bench("--smoke", "--json", "--only", SOME.join(","));

    const report = JSON.parse(stdout) as { readonly cases: readonly CaseReport[] };
    expect(Object.keys(report)).toEqual(["cases"]);
    expect(report.cases.map(({ name }) => name)).toEqual(SOME);
    const wrong = report.cases.filter(({ perSecond }) => !(perSecond.min > 0 && perSecond.median > 0 && perSecond.max > 0));
    expect(wrong).toEqual([]);
    const ratiosOf = (wanted: string) => Object.keys(report.cases.find(({ name }) => name === wanted)?.ratios ?? {});
    expect(ratiosOf("with-claim-ledger")).toEqual(["toHandWritten"]);
    expect(ratiosOf("engine-100")).toEqual(["toLimit"]);
  });

  it("names each case once, those of the first and the third part as they are known", () => {
    const casesOf = (wanted: string) => GROUPS.find(({ name }) => name === wanted)?.cases;
    const names = GROUPS.flatMap(({ name, cases }) => [name, ...cases]);

    expect(names.filter((name, index) => names.indexOf(name) !== index)).toEqual([]);
    expect(casesOf("queue")).toEqual([
      "noop",
      "hand-written",
      "with-claim-redlock-1",
      "with-claim-redlock-3",
      "with-claim-redlock-5",
      "with-claim-ledger",
    ]);
    expect(casesOf("engine")).toEqual([
      "hand-written-1",
      "engine-1",
      "engine-10",
      "engine-100",
      "engine-1000",
      "pgbench-1",
      "pgbench-10",
      "pgbench-100",
      "pgbench-1000",
    ]);
  });

  it("refuses a case that there is not, and lists those that there are", async () => {
    const refusal = bench("--only", "noop,no-such-case");

    await expect(refusal).rejects.toMatchObject({
      code: 1,
      stderr: expect.stringContaining("engine: hand-written-1, engine-1,"),
    });
  });
});

function bench(...args: readonly string[]) {
  return run(process.execPath, ["--import", "tsx", "bench/claims.ts", ...args], {
    cwd: ROOT,
    env: { ...process.env, DATABASE_URL: database.url, AMQP_URL: rabbitmqUrl() },
    timeout: TIMEOUT_MS,
    killSignal: "SIGINT",
  });
}
