import { readFileSync, rmSync } from "node:fs";
import { join, relative } from "node:path";
import type { TestCheck } from "./mutant.ts";
import { runProgram } from "./run-program.ts";

const LIMIT_MS = 240_000;
const OUTPUT_LENGTH = 5_000;

/** A test that failed, by its file from the root of the copy and its full title. */
export interface FailedTest {
  readonly file: string;
  readonly title: string;
  readonly message: string;
}

export interface TestRun {
  readonly failed: readonly FailedTest[];
  readonly passed: number;
  readonly seconds: number;
  /** The end of what it printed. */
  readonly output: string;
}

/** Runs tests of a copy. With `untilOne` it ends at the first that fails. */
export async function runTests(copy: string, check: TestCheck, untilOne: boolean): Promise<TestRun> {
  const results = join(copy, "teeth-results.json");
  rmSync(results, { force: true });
  const { files, products = [], titles } = check;
  const args = [
    join(copy, "node_modules/vitest/vitest.mjs"),
    ...["run", "--config", "test/vitest.config.ts", "--project", "main"],
    ...["--reporter=json", `--outputFile=${results}`],
    ...(untilOne ? ["--bail=1"] : []),
    ...(titles === undefined ? [] : ["--testNamePattern", titles]),
    ...files,
  ];
  const env = { LOCK_PRODUCTS: products.join(",") };
  const { stdout, stderr, seconds } = await runProgram(args, { cwd: copy, env, limitMs: LIMIT_MS });
  return { ...readResults(copy, results), seconds, output: (stdout + stderr).slice(-OUTPUT_LENGTH) };
}

interface Results {
  readonly testResults: readonly {
    readonly name: string;
    readonly assertionResults: readonly {
      readonly status: string;
      readonly fullName: string;
      readonly failureMessages?: readonly string[] | null;
    }[];
  }[];
}

/** The tests that failed, and how many passed. A run that left no results says nothing. */
function readResults(copy: string, path: string): Pick<TestRun, "failed" | "passed"> {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch {
    return { failed: [], passed: 0 };
  }
  const { testResults } = JSON.parse(text) as Results;
  const tests = testResults.flatMap(({ name, assertionResults }) =>
    assertionResults.map(({ status, fullName, failureMessages }) => {
      const message = (failureMessages?.[0] ?? "").split("\n", 1)[0] ?? "";
      return { file: relative(copy, name), title: fullName, message, status };
    }),
  );
  return {
    failed: tests.filter(({ status }) => status === "failed"),
    passed: tests.filter(({ status }) => status === "passed").length,
  };
}
