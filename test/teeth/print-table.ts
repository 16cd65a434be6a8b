import type { ControlVerdict, Verdict } from "./verdict.ts";

/** The table for people: each bug, where it was planted, what caught it and how fast; then the harmless changes, and what survived. */
export function printTable(verdicts: readonly Verdict[], controls: readonly ControlVerdict[]): void {
  const rows = verdicts.map(({ mutant, caughtBy, seconds }) => [
    mutant.bug,
    mutant.file,
    took(seconds),
    caughtBy ?? "SURVIVES",
  ]);
  print([["bug", "file", "took", "caught by"], ...rows]);
  if (controls.length > 0) {
    const harmless = controls.map(({ control, caughtBy, seconds }) => {
      return [control.bug, control.file, took(seconds), caughtBy === undefined ? control.reason : `CAUGHT by ${caughtBy}`];
    });
    process.stdout.write("\n");
    print([["harmless", "file", "took", "since"], ...harmless]);
  }
  const survivors = verdicts.filter(({ caughtBy }) => caughtBy === undefined);
  for (const { mutant, output } of survivors) process.stdout.write(`\n${mutant.bug}:\n${output}\n`);
  process.stdout.write(`\n${verdicts.length - survivors.length} of ${verdicts.length} planted bugs were caught.\n`);
}

function print(table: readonly (readonly string[])[]): void {
  const widths = [0, 1, 2].map((column) => Math.max(...table.map((row) => row[column]?.length ?? 0)));
  for (const row of table) {
    process.stdout.write(`${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("  ")}\n`);
  }
}

function took(seconds: number): string {
  return `${seconds.toFixed(1)} s`;
}
