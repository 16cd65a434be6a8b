import { readdirSync } from "node:fs";
import type { Control, Mutant } from "./mutant.ts";

export interface FoundBugs {
  readonly mutants: readonly Mutant[];
  readonly controls: readonly Control[];
}

/** The mutants and controls of every file in mutants/, in the order of the files' names. */
export async function readMutants(): Promise<FoundBugs> {
  const folder = new URL("./mutants/", import.meta.url);
  const names = readdirSync(folder).filter((name) => name.endsWith(".ts"));
  const modules: Partial<FoundBugs>[] = await Promise.all(names.sort().map((name) => import(new URL(name, folder).href)));
  return {
    mutants: modules.flatMap(({ mutants = [] }) => mutants),
    controls: modules.flatMap(({ controls = [] }) => controls),
  };
}
