import { relative } from "node:path";
import { ROOT, sourceFiles } from "./source-files.ts";

/**
 * The files of services/ that these test files can reach by their imports, so that a run of a few tests starts no server in vain.
 * Undefined when that cannot be told: a test reaches a file that imports by names it makes up.
 */
export function neededServiceFiles(testFiles: readonly string[]): ReadonlySet<string> | undefined {
  const byPath = new Map([...sourceFiles("test"), ...sourceFiles("src")].map((file) => [file.path, file]));
  const reached = new Set<string>();
  const pending = testFiles.map((file) => relative(ROOT, file));
  for (let path = pending.pop(); path !== undefined; path = pending.pop()) {
    const file = byPath.get(path);
    if (file === undefined || reached.has(path)) continue;
    reached.add(path);
    if (/\bimport\((?!")/.test(file.text)) return undefined;
    pending.push(...file.imports.filter(({ typeOnly }) => !typeOnly).map(({ target }) => target));
  }
  return new Set([...reached].filter((path) => path.startsWith("test/support/services/")));
}
