import { accessSync, constants, readdirSync, statSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";

/**
 * The first folder that has all the programs: PATH in its order, then `folders`.
 * Shape: the last but one segment or so of a folder may hold a `*`; of several matches the highest version comes first.
 */
export function locateBinaries(names: readonly string[], folders: readonly string[]): string | undefined {
  const path = (process.env.PATH ?? "").split(delimiter).filter((folder) => folder !== "");
  return [...path, ...folders.flatMap(expandStars)].find((folder) => names.every((name) => isProgram(join(folder, name))));
}

function expandStars(pattern: string): string[] {
  const star = pattern.indexOf("*");
  if (star === -1) {
    return [pattern];
  }
  const parent = dirname(`${pattern.slice(0, star)}x`);
  const [segment = "", ...rest] = pattern.slice(parent.length + 1).split("/");
  const [prefix = "", suffix = ""] = segment.split("*");
  return childrenOf(parent)
    .filter((name) => name.startsWith(prefix) && name.endsWith(suffix))
    .sort((left, right) => right.localeCompare(left, "en", { numeric: true }))
    .map((name) => join(parent, name, ...rest));
}

function childrenOf(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function isProgram(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return statSync(file).isFile();
  } catch {
    return false;
  }
}
