import { mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import ts from "typescript";

const HERE = fileURLToPath(new URL(".", import.meta.url));
const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** The pod's program as plain JavaScript, so that a process starts at once. */
export interface CompiledPod {
  readonly file: string;
  remove(): void;
}

/** Compiles the folder `pod` and what is beside it into a temporary folder; the library is taken as it was built. */
export function compilePod(): CompiledPod {
  const folder = mkdtempSync(join(tmpdir(), "exclaim-chaos-pod-"));
  symlinkSync(join(ROOT, "node_modules"), join(folder, "node_modules"));
  writeFileSync(join(folder, "package.json"), JSON.stringify({ type: "module" }));
  for (const file of ["failpoint.ts", "history-log.ts", "pod-messages.ts", "rabbitmq-topology.ts", "random-of.ts"]) {
    writeFileSync(join(folder, nameOf(file)), compiled(file));
  }
  ts.sys.createDirectory(join(folder, "pod"));
  for (const file of readdirSync(join(HERE, "pod")).filter((name) => name.endsWith(".ts"))) {
    writeFileSync(join(folder, "pod", nameOf(file)), compiled(join("pod", file)));
  }
  return { file: join(folder, "pod", "pod.js"), remove: () => rmSync(folder, { recursive: true, force: true }) };
}

function nameOf(file: string): string {
  return file.replace(/\.ts$/, ".js");
}

function compiled(file: string): string {
  const { outputText } = ts.transpileModule(readFileSync(join(HERE, file), "utf8"), {
    compilerOptions: {
      target: ts.ScriptTarget.ES2023,
      module: ts.ModuleKind.ESNext,
      verbatimModuleSyntax: true,
      rewriteRelativeImportExtensions: true,
    },
    fileName: file,
  });
  // From where the folder lies only the whole address leads to the library.
  return outputText.replaceAll(/"(?:\.\.\/)+src\/([^"]+)"/g, (_, path: string) =>
    JSON.stringify(pathToFileURL(join(ROOT, "dist", path)).href),
  );
}
