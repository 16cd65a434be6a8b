import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { ROOT } from "./copy-project.ts";
import { type Check, isSimulation, type Mutant } from "./mutant.ts";
import { withBug } from "./plant-bug.ts";
import { readMutants } from "./read-mutants.ts";

const { mutants, controls } = await readMutants();

describe("the planted bugs", () => {
  it.each([...mutants, ...controls])("have a place in the sources as they are: $bug", (bug) => {
    const planted = withBug(ROOT, bug);

    expect(planted.size).toBeGreaterThan(0);
  });

  it("are told apart by their phrases", () => {
    const phrases = [...mutants, ...controls].map(({ bug }) => bug);

    expect(phrases.filter((phrase, index) => phrases.indexOf(phrase) !== index)).toEqual([]);
  });

  it("are each caught by tests of files that are there, or by the simulation", () => {
    const checks: readonly Check[] = [...mutants.map(({ caughtBy }) => caughtBy), ...controls.map(({ passes }) => passes)];

    const files = checks.flatMap((check) => (isSimulation(check) ? ["test/simulation/sim.ts"] : check.files));
    const products = checks.flatMap((check) => (isSimulation(check) ? [] : (check.products ?? [])));
    const paths = [...files, ...products.map((name) => `test/lock/products/${name}.ts`)];

    expect([...new Set(paths)].filter((path) => !existsSync(join(ROOT, path)))).toEqual([]);
  });

  it("name the invariants that they break, where the simulation catches them", () => {
    const checks = mutants.flatMap(({ caughtBy }) => (isSimulation(caughtBy) ? [caughtBy] : []));

    expect(checks.length).toBeGreaterThan(5);
    for (const { sim } of checks) expect(sim.breaks?.join()).toMatch(/^I\d+(,I\d+)*$/);
  });
});

describe("a bug without a place", () => {
  it("is refused, and so is one that has two", () => {
    const bug = { bug: "anything", file: "src/index.ts", instead: "no such text\0", plant: "" };
    const twice: Pick<Mutant, "instead"> = { instead: "export" };

    expect(() => withBug(ROOT, bug)).toThrow('src/index.ts has 0 places to plant "anything", not one');
    expect(() => withBug(ROOT, { ...bug, ...twice })).toThrow(/has \d+ places/);
  });
});
