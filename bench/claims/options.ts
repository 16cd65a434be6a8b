import { parseArgs } from "node:util";
import type { BenchGroup, BenchSizes } from "./bench-case.ts";

const ROUNDS = 5;

/** A group, and which of its cases are to be measured. */
export interface Selection {
  readonly group: BenchGroup;
  readonly cases: readonly string[];
}

export interface Options {
  readonly json: boolean;
  readonly sizes: BenchSizes;
  readonly selections: readonly Selection[];
}

/** Throws on an option, group or case that there is not. */
export function resolveOptions(args: readonly string[], groups: readonly BenchGroup[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      smoke: { type: "boolean", default: false },
      json: { type: "boolean", default: false },
      only: { type: "string" },
      rounds: { type: "string" },
    },
  });
  return {
    json: values.json,
    sizes: { smoke: values.smoke, rounds: roundsOf(values.rounds, values.smoke) },
    selections: selectionsOf(values.only, groups),
  };
}

function roundsOf(text: string | undefined, smoke: boolean): number {
  const rounds = text === undefined ? (smoke ? 1 : ROUNDS) : Number(text);
  if (!Number.isInteger(rounds) || rounds < 1) throw new Error(`--rounds ${text}: a whole number from 1 on`);
  return rounds;
}

/** In the order of the groups and of their cases, whatever the order in which they were named. */
function selectionsOf(only: string | undefined, groups: readonly BenchGroup[]): readonly Selection[] {
  if (only === undefined) return groups.map((group) => ({ group, cases: group.cases }));
  const names = new Set(only.split(",").map((name) => name.trim()));
  const known = new Set(groups.flatMap((group) => [group.name, ...group.cases]));
  const unknown = [...names].filter((name) => !known.has(name));
  if (unknown.length > 0) {
    const list = groups.map((group) => `  ${group.name}: ${group.cases.join(", ")}`).join("\n");
    throw new Error(`--only ${unknown.join(",")}: there are these groups and cases:\n${list}`);
  }
  return groups
    .map((group) => ({ group, cases: group.cases.filter((name) => names.has(group.name) || names.has(name)) }))
    .filter(({ cases }) => cases.length > 0);
}
