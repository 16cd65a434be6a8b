import { expect, test } from "vitest";
import type { HistoryEvent } from "../checker/history.ts";
import { inOrder } from "./in-order.ts";
import { planOf } from "./plan.ts";
import { storyOf } from "./story.ts";
import { runPlan } from "./world.ts";

const STALL = /^ +\d+ +(pod-\d\.\d+) +stalls until (\d+\.\d) ms, and takes nothing before$/m;

/** The story of the first seed in which a process stalls while others go on. */
async function storyWithStall(): Promise<string> {
  for (let seed = 1; seed <= 200; seed += 1) {
    const story = await storyOf(planOf(seed), []);
    if (STALL.test(story)) return story;
  }
  throw new Error("no process stalls while others go on");
}

test("the lines of a story are in the order of time, also where a process stalls", async () => {
  const story = await storyWithStall();

  const lines = story.split("\n");
  const times = lines.map((line) => Number(/^. *\d+ +(\d+\.\d) ms {2}/.exec(line)?.[1])).filter((time) => !Number.isNaN(time));
  const [, process = "", untilMs] = STALL.exec(story) ?? [];
  const next = lines.slice(lines.findIndex((line) => STALL.test(line)) + 1).find((line) => line.includes(` ms  ${process} `));
  expect(times.length).toBeGreaterThan(20);
  expect(times).toEqual(times.toSorted((one, other) => one - other));
  expect(next).toContain(` ${untilMs} ms  ${process} `);
});

test("a process whose own clock is ahead comes where its time is, after what others do before it", () => {
  const note = (at: number, by: string, text: string) => ({ at, by, text });
  const story = [
    note(1, "pod-1.1", "begins"),
    note(90, "pod-1.1", "ends"),
    note(50, "pod-2.1", "works"),
    note(95, "sink", "hears"),
  ];

  const lines = inOrder(story);

  expect(lines.map(({ atMs, event }) => [atMs, event.by, "text" in event && event.text])).toEqual([
    [1, "pod-1.1", "begins"],
    [undefined, "pod-1.1", "stalls until 90.0 ms, and takes nothing before"],
    [50, "pod-2.1", "works"],
    [90, "pod-1.1", "ends"],
    [95, "sink", "hears"],
  ]);
});

test("a fault of the plan that never struck is said to be not reached", async () => {
  const faults = [
    { kind: "slow-answer", process: 0, call: 1, forMs: 34 },
    { kind: "stall", process: 0, event: 9_999, forMs: 2_763 },
  ] as const;

  const story = await storyOf({ ...planOf(1), faults, calmAtMs: 60_000 }, []);

  expect(story).toContain("Fault f1: slow-answer at call 1 of process 1 (34 ms).\n");
  expect(story).toContain("Fault f2: stall of process 1 at its event 9999 (2763 ms): not reached.\n");
});

test("the lines that a broken promise is made of are marked, and its times rounded", async () => {
  const { history } = await runPlan(planOf(1));
  const sent = history.filter(({ what }) => what === "sent").slice(0, 1);
  const escaped: HistoryEvent = { at: 9_000_000, by: "runtime", what: "escaped", kind: "rejection", detail: "Error: lost" };
  const sentence = "a message was on its way for 139.55926322005735 ms";

  const story = await storyOf(planOf(1), [{ invariant: "I6", sentence, events: [...sent, escaped] }]);

  expect(story.split("\n").filter((line) => line.startsWith(">"))).toEqual([
    expect.stringMatching(/^> +\d+ +\d+\.\d ms {2}importer sends m\d for /),
    expect.stringMatching(/^> +\d+ {2}9000000\.0 ms {2}runtime {2}rejection: Error: lost$/),
  ]);
  expect(story).toContain("\nI6 is broken: a message was on its way for 139.6 ms.\n");
  expect(story).not.toMatch(/\d\.\d{2,} ms/);
});
