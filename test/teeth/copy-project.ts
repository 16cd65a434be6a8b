import { cpSync, symlinkSync } from "node:fs";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";

export const ROOT = fileURLToPath(new URL("../..", import.meta.url));
/** Not copied: what is not read by tests, or is linked to instead. */
const LEFT_OUT = new Set([".git", "dist", "node_modules", "coverage"]);

/** Copies the project, so that bugs are planted where nobody works. */
export function copyProject(to: string): string {
  cpSync(ROOT, to, { recursive: true, filter: (path) => !LEFT_OUT.has(relative(ROOT, path)) });
  symlinkSync(join(ROOT, "node_modules"), join(to, "node_modules"));
  return to;
}
