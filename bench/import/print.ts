import type { KillsReport } from "./kills.ts";
import type { ImportDetails, ImporterReport, ImportSummary } from "./measure.ts";

export function printImport(summary: ImportSummary, { byHand, byExclaim }: ImportDetails): string {
  const line = (name: string, report: ImporterReport): string =>
    [
      name.padEnd(18),
      String(report.perSecond).padStart(8),
      `${report.peakRssMb} MB`.padStart(10),
      `${report.earlyRssMb} MB`.padStart(12),
      `${report.lastRssMb} MB`.padStart(10),
      `${report.maxLoopDelayMs} ms`.padStart(12),
    ].join("");
  return [
    `${summary.rows} rows of a CSV file into BullMQ on Redis, in slices by turns`,
    `${"".padEnd(18)}  rows/s  RSS peak  at 100,000    at end  loop delay`,
    line("addBulk by hand", byHand),
    line("fanOut", byExclaim),
    `fanOut publishes ${Math.round(summary.ratioToBareAddBulk * 100)} % as fast, with every row recorded in PostgreSQL`,
  ].join("\n");
}

export function printKills({ rows, killedAt, arrived }: KillsReport): string {
  return [
    `an importer killed ${killedAt.length} times, at rows ${killedAt.join(", ")}, and started again`,
    `${arrived} of ${rows} rows arrived, each once, and the report adds up`,
  ].join("\n");
}
