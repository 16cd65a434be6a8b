import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { baseHistory } from "./base-history.ts";
import type { HistoryEvent, InvariantName } from "./history.ts";
import { judge } from "./judge.ts";
import { episodesIn, readHistory } from "./read-history.ts";
import { roundNumbers } from "./round-numbers.ts";
import { tellJudged } from "./tell-judged.ts";

const PROGRAM = fileURLToPath(new URL("read-verdict.ts", import.meta.url));
const FIRST_NINE = ["I1", "I2", "I3", "I4", "I5", "I6", "I7", "I8", "I9"] as const;
let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "exclaim-history-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

function write(name: string, events: readonly HistoryEvent[], torn = ""): void {
  writeFileSync(join(folder, name), events.map((event) => `${JSON.stringify(event)}\n`).join("") + torn);
}

describe("the logs of a run", () => {
  it("are merged by time, and the last line that a killed process did not finish is counted", () => {
    const events = baseHistory();
    write("one.jsonl", events.slice(40), '{"at":1,"by":"pod-1.1","wha');
    write("two.jsonl", events.slice(0, 40));

    const { events: merged, tornLines, files } = readHistory(folder);

    expect(merged.map(({ at }) => at)).toEqual(events.map(({ at }) => at).sort((one, other) => one - other));
    expect(merged).toHaveLength(events.length);
    expect({ tornLines, files }).toEqual({ tornLines: 1, files: 2 });
  });

  it("are refused when a line in the middle is damaged", () => {
    writeFileSync(join(folder, "one.jsonl"), '{"at":1,"by":"x","wh\n{"at":2,"by":"x","what":"frame","mark":"ended"}\n');

    expect(() => readHistory(folder)).toThrow("one.jsonl, line 1 is no event");
  });

  it("keep an event whose time is not known", () => {
    writeFileSync(join(folder, "one.jsonl"), '{"at":null,"by":"x","what":"frame","mark":"ended"}\n');

    expect(readHistory(folder).events).toEqual([{ at: Number.NaN, by: "x", what: "frame", mark: "ended" }]);
  });

  it("are nothing to judge by while the witnesses have not told what they saw", () => {
    const isTold = ({ what }: HistoryEvent) =>
      !["token", "owner", "wrote", "frame"].includes(what) && !what.startsWith("final");
    const again = baseHistory().flatMap((event) => (event.what === "started" ? [{ ...event, resource: "voucher:3" }] : []));

    expect(judge([...baseHistory(), ...again].filter(isTold)).verdict).toBe("unknown");
  });

  it("are refused where they tell what the checker does not know", () => {
    writeFileSync(join(folder, "one.jsonl"), '{"at":1,"by":"x","what":"nonsense"}\n');

    expect(() => readHistory(folder)).toThrow("one.jsonl, line 1 is no event");
  });

  it("may be of several episodes, each in a folder of its own", () => {
    for (const name of ["episode-10", "episode-2"]) {
      mkdirSync(join(folder, name));
      writeFileSync(join(folder, name, "one.jsonl"), "");
    }

    expect(episodesIn(folder)).toEqual([join(folder, "episode-2"), join(folder, "episode-10")]);
    expect(episodesIn(join(folder, "episode-2"))).toEqual([join(folder, "episode-2")]);
    mkdirSync(join(folder, "none"));
    expect(() => episodesIn(join(folder, "none"))).toThrow("has no logs");
  });

  it("are judged by a program that exits with what they show", () => {
    write("one.jsonl", baseHistory());
    const unknown = spawnSync(process.execPath, ["--import", "tsx", PROGRAM, folder, "--json"], { encoding: "utf8" });
    write("two.jsonl", [{ at: 150, by: "audit", what: "owner", n: 99, resource: "voucher:1", was: "a", became: "b" }]);
    const invalid = spawnSync(process.execPath, ["--import", "tsx", PROGRAM, folder], { encoding: "utf8" });

    expect(unknown.status).toBe(2);
    expect(JSON.parse(unknown.stdout)).toEqual({
      verdict: "unknown",
      episodes: [expect.objectContaining({ verdict: "unknown", operations: 16, tornLines: 0 })],
    });
    expect(invalid.status).toBe(1);
    expect(invalid.stdout).toContain("judged: I1 to I");
    expect(invalid.stdout).toContain("I1: voucher:1 went from a to b without being free between");
  });

  it.each([
    [[], "Name the folder of a run's logs."],
    [["one", "two"], "Name one folder: two is a second one."],
    [["no-such-folder"], "There is no folder no-such-folder."],
    [["--seeds", "-5"], "Unknown option '--seeds'"],
  ])("are not looked for by a program that is asked with %j", (args, line) => {
    const refused = spawnSync(process.execPath, ["--import", "tsx", PROGRAM, ...args], { encoding: "utf8" });

    expect(refused).toMatchObject({ status: 64, stdout: "", stderr: expect.stringContaining(line) });
    expect(refused.stderr).toContain("npm run verdict -- <folder> [--json]");
  });
});

describe("a verdict in words", () => {
  it.each<[readonly InvariantName[], string]>([
    [[...FIRST_NINE, "I11", "I12", "I13"], "judged: I1 to I9, I11 to I13; not I10, of which nothing was seen"],
    [[...FIRST_NINE, "I10", "I11", "I12", "I13"], "judged: I1 to I13"],
    [["I1", "I2", "I12"], "judged: I1, I2, I12; not I3 to I11, I13, of which nothing was seen"],
    [[], "judged: nothing, since nothing was seen of any invariant"],
  ])("says of %j what was judged", (judged, line) => {
    expect(tellJudged(judged)).toBe(line);
  });

  it("rounds times, and leaves the names that have digits in them", () => {
    const sentence = "pod-1.12 had m1.1.123.pod-2.10 for 139.55926322005735 ms, 0.0451 ms and 12.5 ms";

    expect(roundNumbers(sentence)).toBe("pod-1.12 had m1.1.123.pod-2.10 for 139.6 ms, 0 ms and 12.5 ms");
  });
});
