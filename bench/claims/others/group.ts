import { Child } from "../../child.ts";
import { type BenchSchema, Stage } from "../../stage.ts";
import type { BenchCase, BenchGroup, BenchSizes, OpenCase } from "../bench-case.ts";
import { openClaimer } from "../endurance/open-claimer.ts";
import type { PickerCalls, PickerName } from "./picker-calls.ts";

/** By whom, and how many jobs or claims take one to two seconds on two cores. */
type Plan = { readonly picker: PickerName; readonly jobs: number } | { readonly claimants: number; readonly jobs: number };

const CASES: Readonly<Record<string, Plan>> = {
  "graphile-worker": { picker: "graphile-worker", jobs: 15_000 },
  "pg-boss": { picker: "pg-boss", jobs: 15_000 },
  "exclaim-pool": { claimants: 100, jobs: 10_000 },
  "exclaim-pool-1000": { claimants: 1_000, jobs: 15_000 },
};
const SMOKE_JOBS = 500;

/**
 * The exclusive pick of job queues on PostgreSQL, in one process each, beside claims of rows without a queue. What they promise
 * differs: at the top of `graphile-worker.ts` and `pg-boss.ts` stands in what.
 */
export const othersGroup: BenchGroup = {
  name: "others",
  title: "Exclusive pick and completion on the same PostgreSQL, one process each: jobs or claims a second",
  cases: Object.keys(CASES),
  baselines: {},
  async begin(stage, sizes, names) {
    const database = await stage.openDurableSchema();
    return names.map((name): BenchCase => {
      const plan = CASES[name];
      if (plan === undefined) throw new Error(`there is no case ${name} in this group`);
      const jobs = sizes.smoke ? SMOKE_JOBS : plan.jobs;
      return {
        name,
        open: () =>
          "picker" in plan
            ? openPickerCase({ picker: plan.picker, jobs, database, stage })
            : openClaimCase({ name, claimants: plan.claimants, jobs, database, stage }, sizes),
      };
    });
  },
};

interface CaseSettings {
  /** Of one round. */
  readonly jobs: number;
  readonly database: BenchSchema;
  readonly stage: Stage;
}

async function openPickerCase({
  picker,
  jobs,
  database,
  stage: outer,
}: CaseSettings & { readonly picker: PickerName }): Promise<OpenCase> {
  const stage = new Stage();
  outer.atEnd(() => stage.end());
  const schema = `${database.schema}_${picker.replaceAll("-", "_")}`;
  stage.atEnd(() => database.pool.query(`drop schema if exists ${schema} cascade`));
  const child = Child.start<PickerCalls>(stage, "claims/others/picker-process.ts");
  await child.ask("begin", { picker, databaseUrl: database.url, schema });
  return {
    async round() {
      await child.ask("add", jobs);
      return { done: jobs, ms: await child.ask("drain", undefined) };
    },
    async verify() {
      // Each round has counted its jobs already.
      const { uncaught } = await child.condition();
      if (uncaught.length > 0) throw new Error(`${uncaught.length} rejections that nobody caught: ${uncaught[0]}`);
    },
    async close() {
      await child.ask("close", undefined);
      await stage.end();
    },
  };
}

async function openClaimCase(
  { name, claimants, jobs, database, stage }: CaseSettings & { readonly name: string; readonly claimants: number },
  { rounds }: BenchSizes,
): Promise<OpenCase> {
  const claimer = await openClaimer({ name, database, stage, rows: jobs * (rounds + 1) });
  let made = 0;
  return {
    async round() {
      const ms = await claimer.child.ask("claim", { count: jobs, concurrency: claimants });
      made += jobs;
      return { done: jobs, ms };
    },
    verify: () => claimer.verify(made),
    close: () => claimer.close(),
  };
}
