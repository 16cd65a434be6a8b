import { expect, test } from "vitest";
import { Scheduler } from "./scheduler.ts";

test("what is due runs in the order of its instant, and of two at one instant the one that was asked for first", async () => {
  const scheduler = new Scheduler();
  const seen: string[] = [];
  for (const [atMs, name] of [
    [30, "last"],
    [10, "first"],
    [20, "second"],
    [20, "third"],
  ] as const) {
    scheduler.at(atMs, () => seen.push(`${name} at ${scheduler.nowMs}`));
  }

  await scheduler.run(() => false);

  expect(seen).toEqual(["first at 10", "second at 20", "third at 20", "last at 30"]);
});

test("everything that follows by microtasks happens before the next event", async () => {
  const scheduler = new Scheduler();
  const seen: string[] = [];
  scheduler.at(1, async () => {
    for (let step = 1; step <= 50; step += 1) await null;
    seen.push("50 awaits");
  });
  scheduler.at(1, () => seen.push("next event"));

  await scheduler.run(() => false);

  expect(seen).toEqual(["50 awaits", "next event"]);
});

test("a recipient that is gone gets nothing, and one that is busy gets it later", async () => {
  const scheduler = new Scheduler();
  const seen: string[] = [];
  const admit = () => true;
  scheduler.at(5, () => seen.push("gone"), { isAlive: false, busyUntilMs: 0, admit });
  scheduler.at(5, () => seen.push(`busy until ${scheduler.nowMs}`), { isAlive: true, busyUntilMs: 40, admit });

  await scheduler.run(() => false);

  expect(seen).toEqual(["busy until 40"]);
});

test("what was called off does not run", async () => {
  const scheduler = new Scheduler();
  let hasRun = false;
  const entry = scheduler.at(5, () => {
    hasRun = true;
  });
  entry.run = undefined;

  await scheduler.run(() => false);

  expect(hasRun).toBe(false);
  expect(scheduler.events).toBe(0);
});
