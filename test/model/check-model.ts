import { spawn } from "node:child_process";
import { rmSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Expectation, Model } from "./model.ts";
import { readVerdict, type Verdict } from "./read-verdict.ts";
import type { SpinTools } from "./spin-tools.ts";

const FOLDER = fileURLToPath(new URL(".", import.meta.url));
const DEFAULT_MAX_DEPTH = 1_000_000;
const DEFAULT_MAX_MEMORY_MB = 2_000;
const TIME_LIMIT_MS = 600_000;

/** What a search came to. */
export interface CheckedModel extends Verdict {
  readonly model: Model;
  readonly expected: Expectation;
  readonly seconds: number;
  /** Of a counter-example: how many steps it has, and which promise its last one breaks. */
  readonly trail?: { readonly steps: number; readonly breaks: string };
}

/**
 * Searches one model, in a temporary folder that is removed afterwards.
 * After: `result` is what was found; a counter-example to another promise than the model is to break is an `error`.
 */
export async function checkModel(tools: SpinTools, model: Model): Promise<CheckedModel> {
  const startMs = performance.now();
  const folder = await mkdtemp(join(tmpdir(), "exclaim-model-"));
  // Also when the program is interrupted.
  const remove = (): void => rmSync(folder, { recursive: true, force: true });
  process.once("exit", remove);
  try {
    const verdict = await search(tools, model, folder);
    const trail = verdict.result === "fail" ? await readTrail(tools, model, folder) : undefined;
    const seconds = (performance.now() - startMs) / 1_000;
    const checked = { ...verdict, model, expected: model.expected, seconds, ...(trail === undefined ? {} : { trail }) };
    if (trail === undefined || model.breaks === undefined || trail.breaks === model.breaks) return checked;
    return { ...checked, result: "error", reason: `it was to break ${model.breaks} and broke ${trail.breaks}` };
  } finally {
    process.off("exit", remove);
    await rm(folder, { recursive: true, force: true });
  }
}

async function search(tools: SpinTools, model: Model, folder: string): Promise<Verdict> {
  const made = await run(tools.spin, [...macros(model), "-a", join(FOLDER, model.file)], folder);
  if (made.exitCode !== 0 || /syntax error|saw '|Error:/.test(made.output)) return unknown(`spin: ${made.output}`);
  const compiled = await run(tools.gcc, ["-w", ...verifierFlags(model), "-o", "pan", "pan.c"], folder);
  if (compiled.exitCode !== 0) return unknown(`gcc: ${compiled.output}`);
  const limits = [`-m${model.maxDepth ?? DEFAULT_MAX_DEPTH}`, "-w22", "-n"];
  const { output } = await run(join(folder, "pan"), [...limits, ...(model.liveness ? ["-a", "-f"] : [])], folder);
  return readVerdict(output, model.liveness ? "cycles" : "assertions");
}

/** To compile takes longer than most searches. The shortest counter-example is found breadth first, and soon. */
function verifierFlags(model: Model): string[] {
  const memory = `-DMEMLIM=${model.maxMemoryMb ?? DEFAULT_MAX_MEMORY_MB}`;
  if (model.liveness) return ["-O1", memory, "-DNFAIR=3"];
  return model.expected === "pass" ? ["-O1", memory, "-DSAFETY"] : ["-O0", memory, "-DSAFETY", "-DBFS"];
}

function macros(model: Model): string[] {
  return model.defines.map((define) => `-D${define}`);
}

/** Replays the counter-example: the line where it ends has a comment that says what is broken there. */
async function readTrail(tools: SpinTools, model: Model, folder: string) {
  const trailFile = (await readdir(folder)).find((name) => name.endsWith(".trail"));
  if (trailFile === undefined) return undefined;
  const lines = (await readFile(join(folder, trailFile), "utf8")).split("\n").filter((line) => /^\d/.test(line));
  const source = await readFile(join(FOLDER, model.file), "utf8");
  const replay = ["-t", "-k", join(folder, trailFile), ...macros(model), join(FOLDER, model.file)];
  const { output } = await run(tools.spin, replay, folder);
  const brokenLine = Number(/:(\d+), Error: assertion violated/.exec(output)?.[1] ?? Number.NaN);
  const text = source.split("\n")[brokenLine - 1] ?? source.split("\n").find((line) => line.startsWith("ltl ")) ?? "";
  return { steps: lines.length, breaks: /\/\* ([\w ]+?)(?::.*)? \*\//.exec(text)?.[1] ?? "no promise that has a name" };
}

function unknown(reason: string): Verdict {
  return { result: "error", states: 0, depth: 0, reason: reason.trim().slice(0, 500) };
}

function run(program: string, args: readonly string[], folder: string): Promise<{ exitCode: number | null; output: string }> {
  return new Promise((resolve, reject) => {
    let output = "";
    const child = spawn(program, args, { cwd: folder, stdio: ["ignore", "pipe", "pipe"], timeout: TIME_LIMIT_MS });
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (chunk: string) => {
        output += chunk;
      });
    }
    const end = (): void => void child.kill("SIGKILL");
    process.once("exit", end);
    child.once("error", reject);
    child.once("close", (exitCode) => {
      process.off("exit", end);
      resolve({ exitCode, output });
    });
  });
}
