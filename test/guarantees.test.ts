import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { models } from "./model/models.ts";
import { ROOT } from "./support/source-files.ts";

const TEXT = readFileSync(join(ROOT, "docs/GUARANTEES.md"), "utf8");
const INVARIANTS = ["I1", "I2", "I3", "I4", "I5", "I6", "I7", "I8", "I9", "I10", "I11", "I12", "I13"];
const PROMISES = ["S1", "S2", "S3", "S4", "S5", "S6", "L1", "L2"];

/** An item of a list of proofs: a file, and after a colon what stands in it as a title, or as the name of a planted bug. */
interface Proof {
  readonly file: string;
  readonly titles: readonly string[];
  readonly isPlanted: boolean;
}

describe("docs/GUARANTEES.md", () => {
  it("names only files that there are", () => {
    const paths = quoted(TEXT).filter((text) => /^(src|test|migrations|docs|examples|bench)\/[\w./-]+\.\w+$/.test(text));

    expect(paths.length).toBeGreaterThan(50);
    expect(paths.filter((path) => !existsSync(join(ROOT, path)))).toEqual([]);
  });

  it("names only tests that there are, in the file where they are", () => {
    const tests = proofs(TEXT).filter(({ isPlanted }) => !isPlanted);

    expect(tests.flatMap(({ titles }) => titles).length).toBeGreaterThan(60);
    expect(missing(tests, formsOf)).toEqual([]);
  });

  it("names a title or a bug with every file that it lists as a proof", () => {
    const listed = [...TEXT.matchAll(/^- (?:planted, )?`(test\/[^`]+\.ts)`/gm)].map(([, file]) => file);

    expect(
      proofs(TEXT)
        .filter(({ titles }) => titles.length > 0)
        .map(({ file }) => file),
    ).toEqual(listed);
  });

  it("names only bugs that are planted, in the file where they are", () => {
    const bugs = proofs(TEXT).filter(({ isPlanted }) => isPlanted);

    expect(bugs.flatMap(({ titles }) => titles).length).toBeGreaterThan(25);
    expect(missing(bugs, (bug) => [`bug: "${bug}"`])).toEqual([]);
  });

  it("names only models that are searched, and every one of them somewhere", () => {
    const names = models.map(({ name }) => name);
    const lines = TEXT.split("\n\n").filter((paragraph) => paragraph.startsWith("Models:"));

    expect(lines.flatMap(quoted).filter((name) => !names.includes(name))).toEqual([]);
    expect(names.filter((name) => !TEXT.includes(`\`${name}\``))).toEqual(["pool-claim/two-crashes"]);
  });

  it("explains every invariant that the checker judges", () => {
    const rows = [...TEXT.matchAll(/^\| \*\*(I\d+)\*\* \|/gm)].map(([, name]) => name);

    expect(rows).toEqual(INVARIANTS);
  });

  it("rests on assumptions that it states", () => {
    const stated = [...TEXT.matchAll(/^\| \*\*(A\d+)\*\* \|/gm)].map(([, name]) => name);
    const used = [...TEXT.matchAll(/\bA\d+\b/g)].map(([name]) => name);

    expect(stated).toEqual(["A1", "A2", "A3", "A4", "A5", "A6", "A7", "A8"]);
    expect([...new Set(used)].sort()).toEqual(stated);
  });

  it.each(PROMISES)("gives %s a section with tests, planted bugs, and models where there can be any", (promise) => {
    const section = TEXT.split(/^### /m).find((text) => text.startsWith(`${promise} `)) ?? "";
    const found = proofs(section.split(/^## /m)[0] ?? "");

    expect(found.filter(({ isPlanted }) => !isPlanted).flatMap(({ titles }) => titles).length).toBeGreaterThanOrEqual(3);
    expect(found.filter(({ isPlanted }) => isPlanted)).not.toEqual([]);
    expect(section).toMatch(promise === "L2" ? /No model/ : /^Models: /m);
  });

  it("promises in the words of the README", () => {
    const readme = readFileSync(join(ROOT, "README.md"), "utf8");
    const named = (text: string, promise: string): string | undefined =>
      new RegExp(`(?:### ${promise} |\\*\\*${promise}\\*\\* \\| \\*\\*)([^\\n.*]+)`).exec(text)?.[1];

    expect(PROMISES.map((promise) => named(TEXT, promise))).toEqual(PROMISES.map((promise) => named(readme, promise)));
  });

  it("has its figures in a table between markers, each with how to reproduce it", () => {
    const table = /<!-- figures -->\n([\s\S]*?)\n<!-- \/figures -->/.exec(TEXT)?.[1] ?? "";
    const [head, , ...rows] = table.split("\n");

    expect(head).toBe("| figure | value | commit | date | how to reproduce |");
    expect(rows.length).toBeGreaterThan(0);
    expect(rows.filter((row) => !/`npm run (sim|chaos|mutants|model)[^`]*`/.test(row))).toEqual([]);
  });
});

function quoted(text: string): string[] {
  return [...text.matchAll(/`([^`\n]+)`/g)].map((match) => match[1] ?? "");
}

function proofs(text: string): Proof[] {
  return [...text.matchAll(/^- (planted, )?`([^`]+\.ts)`: (.*)$/gm)].map(([, planted, file = "", titles = ""]) => ({
    file,
    titles: quoted(titles),
    isPlanted: planted !== undefined,
  }));
}

/** How a title may stand in its file. One that is run for several things comes after a colon there, and their name before it. */
function formsOf(title: string): string[] {
  return [`("${title}"`, `(\`${title}\``, `\n  "${title}"`, `\n    "${title}"`, `}: ${title}\``];
}

/** What its file does not have in any of the forms in which it may stand there. */
function missing(found: readonly Proof[], forms: (title: string) => readonly string[]): string[] {
  return found.flatMap(({ file, titles }) => {
    const text = existsSync(join(ROOT, file)) ? readFileSync(join(ROOT, file), "utf8") : "";
    return titles.filter((title) => !forms(title).some((form) => text.includes(form))).map((title) => `${file}: ${title}`);
  });
}
