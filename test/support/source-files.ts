import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";

export const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** One file of the project, by its path from the root, with what it imports. */
export interface SourceFile {
  readonly path: string;
  readonly text: string;
  /** Every module named in an import or export, types included; relative ones as paths from the root. */
  readonly imports: readonly { readonly target: string; readonly typeOnly: boolean; readonly dynamic: boolean }[];
}

/** All TypeScript files below `folder`. */
export function sourceFiles(folder: string): readonly SourceFile[] {
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts"))
    .map((name) => readSource(normalize(join(folder, name))))
    .sort((a, b) => (a.path < b.path ? -1 : 1));
}

function readSource(path: string): SourceFile {
  const text = readFileSync(join(ROOT, path), "utf8");
  const imports = [
    ...[...text.matchAll(/^(?:import|export)\s+(type\s+)?(?:[^"';]*?\sfrom\s+)?"([^"]+)"/gm)].map((match) => ({
      target: resolve(path, match[2] ?? ""),
      typeOnly: match[1] !== undefined,
      dynamic: false,
    })),
    ...[...text.matchAll(/\bimport\("([^"]+)"\)/g)].map((match) => ({
      target: resolve(path, match[1] ?? ""),
      typeOnly: false,
      dynamic: true,
    })),
  ];
  return { path, text, imports };
}

function resolve(from: string, target: string): string {
  return target.startsWith(".") ? normalize(join(dirname(from), target)) : target;
}
