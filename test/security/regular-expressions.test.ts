import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { hasNestedQuantifier, sourcePatterns } from "./regular-expressions.ts";

const PROGRAM = fileURLToPath(new URL("./regular-expressions-program.ts", import.meta.url));

/** Together they take two seconds of a processor; one that is exponential takes for ever. */
const LIMIT_MS = 100_000;

/** Nested, and linear all the same. */
const UNAMBIGUOUS = [
  // Each round begins with a slash, which the inner part cannot hold.
  "^(\\/(?!\\.\\.?(\\/|$))[^/\\p{Cc}\\p{Cs}\\p{Co}\\p{Cn}]+)+$",
];

describe("the regular expressions of the sources", () => {
  // Planted: the redaction as it was, `[a-z][a-z0-9+.-]*://`, which took 9 s for 100 kB of letters.
  it("take steps that grow no faster than 100 kB of text made against them", { timeout: LIMIT_MS + 10_000 }, () => {
    const { stdout, stderr, signal, status } = spawnSync(process.execPath, ["--import", "tsx", PROGRAM], {
      encoding: "utf8",
      timeout: LIMIT_MS,
      killSignal: "SIGKILL",
    });

    expect({ signal, status, stderr, last: stdout.trimEnd().split("\n").at(-1) }).toEqual({
      signal: null,
      status: 0,
      stderr: "",
      last: "all of them ended",
    });
  });

  it("repeat nothing that repeats", () => {
    const { literals } = sourcePatterns();

    const nested = literals.map(({ source }) => source).filter(hasNestedQuantifier);

    expect(literals.length).toBeGreaterThan(40);
    expect(nested).toEqual(UNAMBIGUOUS);
  });

  it("are literals, but for the one that strikes texts out of a message, each escaped", () => {
    const { built } = sourcePatterns();

    expect(built).toEqual(['src/queue/amqplib-payload-issues.ts: new RegExp(longestFirst.map(patternOf).join("|"), "giu")']);
  });

  it.each([
    ["(a+)+", true],
    ["(a|b*)*c", true],
    ["((x{2,})y)+", true],
    ["(a+)?b", false],
    ["(a?){0,3}", false],
    ["[(+)]+(a\\+)+", false],
    ["(ab)+c*", false],
  ])("are walked well: %s", (source, expected) => {
    expect(hasNestedQuantifier(source)).toBe(expected);
  });
});
