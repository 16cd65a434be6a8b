import { describe, expect, it } from "vitest";
import { ROOT } from "./copy-project.ts";
import type { Mutant } from "./mutant.ts";
import { chosenOf, readOptions } from "./read-options.ts";
import { isAsked } from "./run-check.ts";
import { runProgram } from "./run-program.ts";
import { brokenInvariant } from "./run-simulation.ts";
import { summaryOf } from "./verdict.ts";

const MUTANT: Mutant = {
  bug: "a lock that everybody wins",
  file: "src/lock/any.ts",
  instead: "no",
  plant: "yes",
  caughtBy: { sim: { seeds: 10 } },
};
const RUN = { because: "", isSound: true, seconds: 1.26, output: "" };

describe("the options of the program", () => {
  it("are json and beginnings of bugs, named or standing alone", () => {
    const options = readOptions(["--json", "--only", "no fence", "--only", "naive", "empty"]);

    expect(options).toEqual({ json: true, only: ["no fence", "naive", "empty"] });
    expect(readOptions([])).toEqual({ json: false, only: [] });
    expect(() => readOptions(["--jsn"])).toThrow("--jsn");
  });

  it("choose the bugs that begin so, all without a beginning, and refuse one that is nobody's", () => {
    const bugs = [{ bug: "no fence" }, { bug: "no key" }, { bug: "naive" }];

    expect(chosenOf(bugs, ["no "])).toEqual([{ bug: "no fence" }, { bug: "no key" }]);
    expect(chosenOf(bugs, [])).toEqual(bugs);
    expect(() => chosenOf(bugs, ["no ", "nobody"])).toThrow('no bug begins with "nobody"');
  });
});

describe("the summary", () => {
  it("counts what was caught and names what survived", () => {
    const control = { bug: "control", file: "src/a.ts", instead: "", plant: "", reason: "masked", passes: MUTANT.caughtBy };

    const summary = summaryOf(
      [
        { ...RUN, mutant: MUTANT, caughtBy: "L1 one wins" },
        { ...RUN, mutant: { ...MUTANT, bug: "another" }, caughtBy: undefined },
      ],
      [{ ...RUN, control, caughtBy: undefined }],
    );

    expect(summary).toEqual({
      total: 2,
      caught: 1,
      survivors: ["another"],
      mutants: [
        { bug: "a lock that everybody wins", file: "src/lock/any.ts", caughtBy: "L1 one wins", seconds: 1.3 },
        { bug: "another", file: "src/lock/any.ts", caughtBy: null, seconds: 1.3 },
      ],
      controls: [{ bug: "control", file: "src/a.ts", reason: "masked", caughtBy: null }],
    });
  });

  it("quotes the line of the simulation that names an invariant", () => {
    expect(brokenInvariant("seed 4\n  I1 two owners of row 7\nI6 settled")).toBe("I1 two owners of row 7");
    expect(brokenInvariant("\n seed 4 fails\n")).toBe("seed 4 fails");
  });
});

describe("a bug that the simulation is to catch", () => {
  const check = { sim: { seeds: 10, breaks: ["I1", "I3"] } };

  it("is caught by one of the invariants that it breaks, and by no other", () => {
    expect(isAsked(check, "I3 is broken: voucher:1 was granted twice.")).toBe(true);
    expect(isAsked(check, "I13 is broken: u2 was kept waiting.")).toBe(false);
    expect(isAsked(check, undefined)).toBe(false);
  });

  it("may break any where none is named, as in a run that must break none", () => {
    expect(isAsked({ sim: { seeds: 10 } }, "I13 is broken: u2 was kept waiting.")).toBe(true);
    expect(isAsked({ sim: { seeds: 10 } }, undefined)).toBe(false);
  });
});

describe("the program", () => {
  it("fails before it starts anything when it is asked for a bug that is not there", async () => {
    const program = ["--import", "tsx", "test/teeth/run-mutants.ts", "--json", "--only", "no such bug"];

    const { code, stdout, stderr } = await runProgram(program, { cwd: ROOT, env: {}, limitMs: 20_000 });

    expect([code, stdout]).toEqual([64, ""]);
    expect(stderr).toContain('no bug begins with "no such bug"');
  });
});
