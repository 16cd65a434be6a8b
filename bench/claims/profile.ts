/**
 * Where a microsecond of the hot path goes: `withClaim` over `pool.claim`, 100 jobs at a time in one process, without a queue.
 *
 *     npm run --silent build && tsx bench/claims/profile.ts [--claims n] [--json]
 *
 * It runs under V8's sampling profiler, which costs some of the time that it tells of. Times are of the process's main thread, in µs
 * for each claim with its completion; the database works meanwhile, in processes of its own. Positions are those of `dist/`.
 * PostgreSQL is started by the program unless DATABASE_URL names one. `--json` prints one object with the same data.
 */
import { parseArgs } from "node:util";
import { Stage } from "../stage.ts";
import { table as tableOf, whole } from "../table.ts";
import { migrateLedger } from "./migrate-ledger.ts";
import { cpuProfile, type SelfTime } from "./profile/cpu-profile.ts";
import { openHotPath } from "./profile/hot-path.ts";
import { moduleOf, placeOf } from "./profile/module-of.ts";
import { assertLedgerAgrees, assertOneRowEach, createVoucherTable } from "./voucher-table.ts";

const CONCURRENCY = 100;
const TOP = 15;

interface Cost {
  readonly microsPerClaim: number;
  /** Of the time that the profile covers, idle included. */
  readonly share: number;
}

interface Report {
  readonly claims: number;
  readonly perSecond: number;
  /** Of all threads of the process. */
  readonly cpuMicrosPerClaim: number;
  readonly modules: readonly (Cost & { readonly module: string })[];
  readonly functions: readonly (Cost & { readonly name: string; readonly place: string; readonly module: string })[];
}

const { values } = parseArgs({
  options: { claims: { type: "string", default: "50000" }, json: { type: "boolean", default: false } },
});
const claims = Number(values.claims);
if (!Number.isInteger(claims) || claims < 1) throw new Error(`--claims ${values.claims}: a whole number from 1 on`);

const stage = new Stage();
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, () => void stage.end().finally(() => process.exit(130)));
}
try {
  const report = await measure();
  console.log(values.json ? JSON.stringify(report) : printReport(report));
} finally {
  await stage.end();
}

async function measure(): Promise<Report> {
  const database = await stage.openDurableSchema();
  const table = `${database.schema}.voucher`;
  const ledgerSchema = `${database.schema}_ledger`;
  await createVoucherTable(database.pool, table, 2 * claims);
  await migrateLedger(stage, database, ledgerSchema);
  const path = openHotPath({ databaseUrl: database.url, table, ledgerSchema });
  try {
    // As many as are measured, so that what is measured is optimized code.
    await path.serve(claims, CONCURRENCY);
    const cpuBefore = process.cpuUsage();
    const startMs = performance.now();
    let [ms, cpuMicros] = [0, 0];
    const times = await cpuProfile(async () => {
      await path.serve(claims, CONCURRENCY);
      const { user, system } = process.cpuUsage(cpuBefore);
      [ms, cpuMicros] = [performance.now() - startMs, user + system];
    });
    await assertOneRowEach(database.pool, table, 2 * claims);
    await assertLedgerAgrees(database.pool, table, ledgerSchema);
    return { claims, perSecond: (claims / ms) * 1_000, cpuMicrosPerClaim: cpuMicros / claims, ...costsOf(times) };
  } finally {
    await path.close();
  }
}

function costsOf(times: readonly SelfTime[]): Pick<Report, "modules" | "functions"> {
  const allMicros = times.reduce((sum, { micros }) => sum + micros, 0);
  const costOf = (micros: number): Cost => ({ microsPerClaim: micros / claims, share: micros / allMicros });
  const microsOf = new Map<string, number>();
  for (const time of times) microsOf.set(moduleOf(time), (microsOf.get(moduleOf(time)) ?? 0) + time.micros);
  const modules = [...microsOf].sort(([, a], [, b]) => b - a).map(([module, micros]) => ({ module, ...costOf(micros) }));
  const functions = times
    .filter((time) => moduleOf(time) !== "idle")
    .slice(0, TOP)
    .map((time) => ({ name: time.name, place: placeOf(time), module: moduleOf(time), ...costOf(time.micros) }));
  return { modules, functions };
}

function printReport({ perSecond, cpuMicrosPerClaim, modules, functions }: Report): string {
  const cells = ({ microsPerClaim, share }: Cost): string[] => [microsPerClaim.toFixed(2), `${(share * 100).toFixed(1)} %`];
  const rate = `${whole(perSecond)} claims and completions a second while profiled`;
  return [
    `${rate}, ${cpuMicrosPerClaim.toFixed(1)} µs of this process's processor time each`,
    tableOf(
      ["module", "µs a claim", "share"],
      modules.map((row) => [row.module, ...cells(row)]),
    ),
    tableOf(
      ["function", "at", "µs a claim", "share"],
      functions.map((row) => [row.name, row.place || row.module, ...cells(row)]),
    ),
  ].join("\n\n");
}
