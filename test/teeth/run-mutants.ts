/**
 * Plants known bugs, one at a time, in a copy of the project, and runs the tests that must catch each. Prints what caught it.
 * Input: none; or the beginnings of the bugs to plant. Exits with 1 when a bug survives, or when tests fail without one.
 */
import { spawn } from "node:child_process";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { climbLadder, type SharedServers } from "../support/ladder.ts";
import type { Service } from "../support/service.ts";
import type { Check, Mutant } from "./mutant.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
/** Not copied: what is not read by tests, or is linked to instead. */
const LEFT_OUT = new Set([".git", "dist", "node_modules", "coverage"]);
/** A bug may hang its tests. */
const RUN_LIMIT_MS = 240_000;
const LANES = Math.min(2, availableParallelism());

/** A test, by its file from the root of the copy and its full title. */
interface Test {
  readonly file: string;
  readonly title: string;
}

interface Run {
  readonly failed: readonly Test[];
  readonly passed: number;
  readonly seconds: number;
  readonly output: string;
}

interface Verdict {
  readonly mutant: Mutant;
  readonly caughtBy: string | undefined;
  readonly seconds: number;
  readonly output: string;
}

const wanted = process.argv.slice(2);
const all = await readMutants();
const mutants = wanted.length === 0 ? all : all.filter(({ bug }) => wanted.some((start) => bug.startsWith(start)));
// Before anything is started: the sources change, and a bug that has no place any more needs a new one.
for (const mutant of mutants) withBug(readFileSync(join(ROOT, mutant.file), "utf8"), mutant);
const folder = mkdtempSync(join(tmpdir(), "exclaim-teeth-"));
// Also when interrupted; the servers then end by themselves.
process.once("exit", () => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));
process.once("SIGINT", () => process.exit(130));
const servers = await startServers();
try {
  const copies = Array.from({ length: LANES }, (_, lane) => copyProject(join(folder, `copy-${lane}`)));
  const isHealthy = await runsWithoutBugs(copies[0] ?? "");
  const verdicts = isHealthy ? await plantAll(copies) : [];
  report(verdicts);
  process.exitCode = isHealthy && verdicts.every(({ caughtBy }) => caughtBy !== undefined) ? 0 : 1;
} finally {
  await Promise.all(servers.map((server) => server.stop()));
}

async function readMutants(): Promise<readonly Mutant[]> {
  const place = new URL("./mutants/", import.meta.url);
  const modules = await Promise.all(
    readdirSync(place)
      .filter((name) => name.endsWith(".ts"))
      .map((name) => import(new URL(name, place).href)),
  );
  return modules.flatMap((module: { readonly mutants: readonly Mutant[] }) => module.mutants);
}

/** Started once, and named to all runs by the environment. */
async function startServers(): Promise<readonly SharedServers[]> {
  const place = new URL("../support/services/", import.meta.url);
  const modules = await Promise.all(
    readdirSync(place)
      .filter((name) => name.endsWith(".ts"))
      .map((name) => import(new URL(name, place).href)),
  );
  const services = modules.flatMap((module: Record<string, Service>) => Object.values(module));
  return Promise.all(
    services.map(async (service) => {
      const started = await climbLadder(service);
      process.env[service.variable] = started.urls.join(",");
      return started;
    }),
  );
}

function copyProject(to: string): string {
  cpSync(ROOT, to, { recursive: true, filter: (path) => !LEFT_OUT.has(relative(ROOT, path)) });
  symlinkSync(join(ROOT, "node_modules"), join(to, "node_modules"));
  return to;
}

/** A test that fails anyway would seem to catch everything. */
async function runsWithoutBugs(copy: string): Promise<boolean> {
  const checks = new Map(mutants.map(({ caughtBy }) => [JSON.stringify(caughtBy), caughtBy]));
  const run = await runTests(copy, {
    files: [...new Set([...checks.values()].flatMap(({ files }) => files))],
    products: [...new Set([...checks.values()].flatMap(({ products = [] }) => products))],
  });
  // More tests run here than any of the checks asks for.
  const isAsked = ({ file, title }: Test) =>
    [...checks.values()].some(({ files, titles = "" }) => files.includes(file) && new RegExp(titles).test(title));
  const failed = run.failed.filter(isAsked);
  if (failed.length === 0 && run.passed > 0) return true;
  process.stdout.write(`${run.output}\nThese fail without any bug:\n${failed.map(({ title }) => title).join("\n")}\n`);
  return false;
}

async function plantAll(copies: readonly string[]): Promise<readonly Verdict[]> {
  const waiting = [...mutants];
  const verdicts: Verdict[] = [];
  await Promise.all(
    copies.map(async (copy) => {
      for (let mutant = waiting.shift(); mutant !== undefined; mutant = waiting.shift()) {
        const verdict = await plant(copy, mutant);
        verdicts.push(verdict);
        process.stdout.write(`${verdict.caughtBy === undefined ? "SURVIVES" : "caught  "} ${mutant.bug}\n`);
      }
    }),
  );
  return mutants.flatMap((mutant) => verdicts.filter((verdict) => verdict.mutant === mutant));
}

async function plant(copy: string, mutant: Mutant): Promise<Verdict> {
  const path = join(copy, mutant.file);
  const text = readFileSync(path, "utf8");
  writeFileSync(path, withBug(text, mutant));
  try {
    const { failed, seconds, output } = await runTests(copy, mutant.caughtBy);
    return { mutant, caughtBy: failed[0]?.title, seconds, output };
  } finally {
    writeFileSync(path, text);
  }
}

function withBug(text: string, { bug, file, instead, plant: planted, also = [] }: Mutant): string {
  return [{ instead, plant: planted }, ...also].reduce((changed, place) => {
    const parts = changed.split(place.instead);
    if (parts.length !== 2) {
      throw new Error(`${file} has ${parts.length - 1} places to plant "${bug}", not one: ${JSON.stringify(place.instead)}`);
    }
    return parts.join(place.plant);
  }, text);
}

async function runTests(copy: string, { files, products = [], titles }: Check): Promise<Run> {
  const startedAt = performance.now();
  const results = join(copy, "teeth-results.json");
  rmSync(results, { force: true });
  const child = spawn(
    process.execPath,
    [
      join(copy, "node_modules/vitest/vitest.mjs"),
      ...["run", "--config", "test/vitest.config.ts", "--project", "main"],
      ...["--reporter=json", `--outputFile=${results}`],
      ...(titles === undefined ? [] : ["--testNamePattern", titles]),
      ...files,
    ],
    {
      cwd: copy,
      env: { ...process.env, LOCK_PRODUCTS: products.join(",") },
      stdio: ["ignore", "pipe", "pipe"],
      timeout: RUN_LIMIT_MS,
      killSignal: "SIGKILL",
    },
  );
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      output += text;
    });
  }
  await new Promise((resolve) => child.once("close", resolve));
  return { ...readResults(copy, results), seconds: (performance.now() - startedAt) / 1_000, output: output.slice(-5_000) };
}

/** The tests that failed, and how many passed. A run that left no results says nothing. */
function readResults(copy: string, path: string): Pick<Run, "failed" | "passed"> {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch {
    return { failed: [], passed: 0 };
  }
  const { testResults } = JSON.parse(text) as {
    readonly testResults: readonly {
      readonly name: string;
      readonly assertionResults: readonly { readonly status: string; readonly fullName: string }[];
    }[];
  };
  const tests = testResults.flatMap(({ name, assertionResults }) =>
    assertionResults.map(({ status, fullName }) => ({ file: relative(copy, name), title: fullName, status })),
  );
  return {
    failed: tests.filter(({ status }) => status === "failed"),
    passed: tests.filter(({ status }) => status === "passed").length,
  };
}

function report(verdicts: readonly Verdict[]): void {
  const rows = verdicts.map(({ mutant, caughtBy, seconds }) => [
    mutant.bug,
    mutant.file,
    caughtBy ?? "SURVIVES",
    `${seconds.toFixed(1)} s`,
  ]);
  const table = [["bug", "file", "caught by", "took"], ...rows];
  const widths = [0, 1].map((column) => Math.max(...table.map((row) => row[column]?.length ?? 0)));
  for (const [bug = "", file = "", caughtBy = "", took = ""] of table) {
    process.stdout.write(`${bug.padEnd(widths[0] ?? 0)}  ${file.padEnd(widths[1] ?? 0)}  ${took.padStart(7)}  ${caughtBy}\n`);
  }
  const survivors = verdicts.filter(({ caughtBy }) => caughtBy === undefined);
  for (const { mutant, output } of survivors) process.stdout.write(`\n${mutant.bug}:\n${output}\n`);
  process.stdout.write(`${verdicts.length - survivors.length} of ${verdicts.length} planted bugs were caught.\n`);
}
