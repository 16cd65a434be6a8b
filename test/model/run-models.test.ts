import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { type CheckedModel, checkModel } from "./check-model.ts";
import type { Model } from "./model.ts";
import { models } from "./models.ts";
import { rowsInOrder } from "./print-table.ts";
import { readVerdict } from "./read-verdict.ts";
import { findSpinTools } from "./spin-tools.ts";

/** Compiling and searching takes a second or two of a core, and many tests may share the cores. */
const TIME_LIMIT_MS = 150_000;

const tools = await findSpinTools();

/** What pan prints when it looks for what it should. */
const LOOKED = "assertion violations +\ninvalid end states +\n";

describe("the models", () => {
  it("M1 each have a variant that must fail, for a promise that is named where it is broken", () => {
    const files = [...new Set(models.map(({ file }) => file))];
    const text = (file: string): string => readFileSync(new URL(file, import.meta.url), "utf8");
    const named = ({ file, breaks }: Model): boolean => breaks !== undefined && text(file).includes(`/* ${breaks}`);

    expect(files.filter((file) => !models.some((model) => model.file === file && model.expected === "pass"))).toEqual([]);
    expect(files.filter((file) => !models.some((model) => model.file === file && model.expected === "fail"))).toEqual([]);
    expect(models.filter((model) => model.expected === "fail" && !named(model)).map(({ name }) => name)).toEqual([]);
    expect(new Set(models.map(({ name }) => name)).size).toBe(models.length);
  });

  it("M2 Redlock lets two believe that they hold the lock once a clock jumps", { timeout: TIME_LIMIT_MS }, async () => {
    const checked = await checkModel(tools, called("redlock/exclusion"));

    expect(checked).toMatchObject({ expected: "fail", result: "fail", trail: { breaks: "exclusion" } });
    expect(checked.trail?.steps).toBeGreaterThan(10);
  });

  it("M2 S1 S4 hold behind the ledger under the very same faults", { timeout: TIME_LIMIT_MS }, async () => {
    const model = called("redlock/ledger");

    const checked = await checkModel(tools, { ...model, defines: [...model.defines, "DELIVERIES=2"] });

    expect(checked).toMatchObject({ expected: "pass", result: "pass" });
    expect(checked.states).toBeGreaterThan(10_000);
  });

  it("M3 S4 a named resource takes no late write, and does without its fence", { timeout: TIME_LIMIT_MS }, async () => {
    const fenced = await checkModel(tools, called("named-resource"));
    const unfenced = await checkModel(tools, called("named-resource/no-fence"));

    expect(fenced).toMatchObject({ result: "pass" });
    expect(unfenced).toMatchObject({ result: "fail", trail: { breaks: "S4" } });
  });
});

describe("a search that proves nothing", () => {
  it.each([
    ["has not gone as deep as it could", { maxDepth: 20 }, "max search depth too small"],
    ["has run out of memory", { maxMemoryMb: 1 }, "reached -DMEMLIM bound"],
  ])("M4 is an error, never a pass: it %s", { timeout: TIME_LIMIT_MS }, async (_what, limits, reason) => {
    const checked = await checkModel(tools, { ...called("named-resource"), ...limits });

    expect(checked).toMatchObject({ result: "error", reason: expect.stringContaining(reason) });
  });

  it("M4 is an error when the counter-example breaks another promise than it was to", { timeout: TIME_LIMIT_MS }, async () => {
    const checked = await checkModel(tools, { ...called("honest-empty/skipping-miss"), breaks: "S1" });

    expect(checked).toMatchObject({ result: "error", reason: "it was to break S1 and broke S6" });
  });

  it("M4 is an error when the model cannot be read", { timeout: TIME_LIMIT_MS }, async () => {
    const checked = await checkModel(tools, { ...called("honest-empty"), file: "no-such-model.pml" });

    expect(checked).toMatchObject({ result: "error", states: 0 });
  });

  it.each([
    ["printed nothing", "", "pan printed nothing"],
    [
      "looked for nothing",
      "State-vector 40 byte, depth reached 20, errors: 0\n  263 states, stored\n",
      "pan did not look for assertions",
    ],
    ["saw no state", `${LOOKED}State-vector 40 byte, depth reached 0, errors: 0\n`, "no state was searched"],
    [
      "approximated",
      `${LOOKED}Bit statespace search\n errors: 0\n 263 states, stored\n`,
      "the search was not exhaustive: Bit statespace search",
    ],
  ])("M4 is an error when pan %s", (_what, report, reason) => {
    const verdict = readVerdict(report, "assertions");

    expect(verdict).toMatchObject({ result: "error", reason });
  });
});

describe("the table of the searches", () => {
  it("has its rows in the order of the models, in whatever order they end", () => {
    const chosen = ["outbox", "outbox/before", "honest-empty"].map(called);
    const rows: string[] = [];
    const tell = rowsInOrder(chosen, (row) => rows.push(row.split(" ")[0] ?? ""));

    for (const model of [2, 1].flatMap((index) => chosen[index] ?? [])) tell(searched(model));
    const early = [...rows];
    tell(searched(called("outbox")));

    expect(early).toEqual([]);
    expect(rows).toEqual(["outbox", "outbox/before", "honest-empty"]);
  });
});

function searched(model: Model): CheckedModel {
  return { model, expected: model.expected, result: "pass", states: 1, depth: 1, seconds: 1 };
}

function called(name: string): Model {
  const model = models.find((each) => each.name === name);
  if (model === undefined) throw new Error(`no model is called ${name}`);
  return model;
}
