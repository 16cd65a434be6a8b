import { systemClock } from "../../src/clock.ts";
import { migrate } from "../../src/ledger/migrate.ts";
import { Child } from "../child.ts";
import type { Stage } from "../stage.ts";
import { CHUNK_SIZE, type ImporterCalls } from "./importer.ts";
import type { SliceReport } from "./slices.ts";
import { writeCsv } from "./write-csv.ts";

const SLICES = 20;
const EARLY_ROWS = 100_000;

/** What `--json` prints. */
export interface ImportSummary {
  readonly rows: number;
  readonly perSecond: number;
  readonly ratioToBareAddBulk: number;
  readonly peakRssMb: number;
  readonly maxLoopDelayMs: number;
}

export interface ImporterReport {
  readonly perSecond: number;
  readonly peakRssMb: number;
  /** At 100,000 rows, or at the end of a shorter run. */
  readonly earlyRssMb: number;
  readonly lastRssMb: number;
  readonly maxLoopDelayMs: number;
}

export interface ImportDetails {
  readonly byHand: ImporterReport;
  readonly byExclaim: ImporterReport;
}

export async function measureImport(stage: Stage, rows: number): Promise<ImportDetails & { readonly summary: ImportSummary }> {
  const file = await writeCsv(stage, rows);
  const [redis] = await stage.startRedis(1);
  const { url: databaseUrl, schema, pool } = await stage.openSchema();
  await migrate(pool, systemClock, schema);
  const redisUrl = redis?.url ?? "";
  const [admin] = await stage.connect([redisUrl], {});
  const begin = async (by: "hand" | "exclaim"): Promise<Importer> => {
    const child = Child.start<ImporterCalls>(stage, "import/importer.ts");
    await child.ask("begin", { by, file, redisUrl, databaseUrl, schema, queue: `by-${by}`, id: "bench" });
    return { child, slices: [] };
  };
  const [hand, exclaim] = [await begin("hand"), await begin("exclaim")];
  for (const [at, until] of sliceEnds(rows).entries()) {
    // Who goes first changes, so that neither always has the machine as the other one left it.
    for (const importer of at % 2 === 0 ? [hand, exclaim] : [exclaim, hand]) {
      importer.slices.push(await importer.child.ask("slice", until));
      await admin?.flushall();
    }
  }
  await assertAll(rows, hand, exclaim);
  const [byHand, byExclaim] = [reportOf(hand.slices), reportOf(exclaim.slices)];
  const { perSecond, peakRssMb, maxLoopDelayMs } = byExclaim;
  const ratio = Math.round((perSecond / byHand.perSecond) * 1_000) / 1_000;
  return { byHand, byExclaim, summary: { rows, perSecond, ratioToBareAddBulk: ratio, peakRssMb, maxLoopDelayMs } };
}

interface Importer {
  readonly child: Child<ImporterCalls>;
  readonly slices: SliceReport[];
}

/** Whole chunks, so that none is cut at the end of a slice. */
function sliceEnds(rows: number): number[] {
  const size = Math.max(CHUNK_SIZE, Math.ceil(rows / SLICES / CHUNK_SIZE) * CHUNK_SIZE);
  const ends: number[] = [];
  for (let end = size; end <= rows; end += size) ends.push(end);
  return ends;
}

async function assertAll(rows: number, ...importers: readonly Importer[]): Promise<void> {
  for (const { child } of importers) {
    const published = await child.ask("finish", undefined);
    if (published !== rows) throw new Error(`${published} of ${rows} rows were published`);
  }
}

function reportOf(slices: readonly SliceReport[]): ImporterReport {
  let behind = 0;
  const early = slices.find(({ rows }) => {
    behind += rows;
    return behind >= EARLY_ROWS;
  });
  const ms = slices.reduce((sum, slice) => sum + slice.ms, 0);
  const counted = slices.reduce((sum, slice) => sum + slice.rows, 0);
  return {
    perSecond: Math.round((counted / ms) * 1_000),
    peakRssMb: Math.round(Math.max(...slices.map(({ peakRssMb }) => peakRssMb))),
    earlyRssMb: Math.round((early ?? slices.at(-1))?.rssMb ?? 0),
    lastRssMb: Math.round(slices.at(-1)?.rssMb ?? 0),
    maxLoopDelayMs: Math.round(Math.max(...slices.map(({ maxLoopDelayMs }) => maxLoopDelayMs)) * 10) / 10,
  };
}
