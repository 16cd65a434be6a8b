import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { type Environment, printEnvironment } from "../environment.ts";
import type { BenchGroup, CaseReport } from "./bench-case.ts";
import { markdownTable } from "./print.ts";

const FOLDER = new URL("../results/", import.meta.url);
const JSON_FILE = new URL("claims.json", FOLDER);
const MARKDOWN_FILE = new URL("claims.md", FOLDER);

/** A case and the run that it comes from. */
export interface KeptCase extends CaseReport {
  readonly group: string;
  /** That run's: ratios are between cases of one run. */
  readonly rounds: number;
  /** When that run began. */
  readonly measuredAt: string;
  readonly environment: Environment;
}

/** After: the files have these cases and, as they were, those that this run did not measure. */
export function writeResults(measured: readonly KeptCase[], groups: readonly BenchGroup[]): void {
  const fresh = new Map([...readKept(), ...measured].map((one) => [one.name, one]));
  const cases = groups.flatMap((group) =>
    group.cases.flatMap((name) => {
      const one = fresh.get(name);
      return one === undefined ? [] : [one];
    }),
  );
  mkdirSync(FOLDER, { recursive: true });
  writeFileSync(JSON_FILE, `${JSON.stringify({ cases }, undefined, 2)}\n`);
  writeFileSync(MARKDOWN_FILE, markdown(cases, groups));
}

function readKept(): readonly KeptCase[] {
  try {
    return (JSON.parse(readFileSync(JSON_FILE, "utf8")) as { readonly cases: readonly KeptCase[] }).cases;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return [];
    throw error;
  }
}

function markdown(cases: readonly KeptCase[], groups: readonly BenchGroup[]): string {
  const sections = groups.flatMap((group) => {
    const own = cases.filter(({ name }) => group.cases.includes(name));
    return own.length === 0 ? [] : [[`## ${group.title}`, ...runsOf(own), markdownTable(own)].join("\n\n")];
  });
  return `${["# Claims, measured by `npm run bench`", ...sections].join("\n\n")}\n`;
}

/** One line for each run that the cases come from. Most often it is one. */
function runsOf(cases: readonly KeptCase[]): string[] {
  const runs = new Map<string, KeptCase[]>();
  for (const one of cases) runs.set(one.measuredAt, [...(runs.get(one.measuredAt) ?? []), one]);
  return [...runs].map(([measuredAt, own]) => {
    const [first] = own;
    if (first === undefined) return "";
    const which = runs.size === 1 ? "" : `${own.map(({ name }) => name).join(", ")}: `;
    return `${which}${measuredAt.slice(0, 10)}, medians of ${first.rounds} rounds; ${printEnvironment(first.environment)}`;
  });
}
