import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";

const PROGRAM = fileURLToPath(new URL("ending-program.ts", import.meta.url));

// Planted: a keeper's timer that keeps the process alive; one that waits by a timer that does not. Each made a test here fail.
describe("a process", () => {
  it.each([
    ["close", "CLOSED"],
    ["wait", "contended"],
    ["abort", "held ABORTED"],
    ["hang", "held LOCK_UNREACHABLE"],
  ])("ends by itself, and not before it has its answers (%s)", async (way, said) => {
    const { stdout } = await promisify(execFile)(process.execPath, ["--import", "tsx", PROGRAM, way], { timeout: 25_000 });

    expect(stdout).toBe(said);
  });
});
