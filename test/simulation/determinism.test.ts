import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { planOf } from "./plan.ts";
import { withoutRealTime } from "./real-time-trap.ts";
import { storyOf } from "./story.ts";
import { runPlan } from "./world.ts";

const PROGRAM = fileURLToPath(new URL("./sim.ts", import.meta.url));
const TIME_LIMIT_MS = 60_000;

async function hashOf(seed: number): Promise<string> {
  const { history } = await runPlan(planOf(seed));
  return createHash("sha256").update(JSON.stringify(history)).digest("hex");
}

test("the same seed gives the same history", async () => {
  const seeds = Array.from({ length: 50 }, (_, index) => index + 1);

  const first: string[] = [];
  const second: string[] = [];
  for (const seed of seeds) first.push(await hashOf(seed));
  for (const seed of seeds.toReversed()) second.unshift(await hashOf(seed));

  expect(second).toEqual(first);
  expect(new Set(first).size).toBe(50);
});

test(
  "another process tells the same story of a seed",
  async () => {
    const here = await storyOf(planOf(20), []);

    const { stdout } = await promisify(execFile)(process.execPath, ["--import", "tsx", PROGRAM, "--seed", "20"]);

    expect(stdout.startsWith(here)).toBe(true);
  },
  TIME_LIMIT_MS,
);

test("a run that asks for real time or chance is refused, and the process has both back after it", async () => {
  const asked = [() => Date.now(), () => Math.random(), () => performance.now(), () => setTimeout(() => {}, 0)];

  const refused = await withoutRealTime(async () =>
    asked.map((ask) => {
      try {
        return String(ask());
      } catch (error) {
        return (error as Error).message;
      }
    }),
  );

  expect(refused).toEqual([
    "a simulated run asked for real time or chance: now()",
    "a simulated run asked for real time or chance: random()",
    "a simulated run asked for real time or chance: now()",
    "a simulated run asked for real time or chance: setTimeout()",
  ]);
  expect(performance.now()).toBeGreaterThan(0);
  expect(Math.random()).toBeLessThan(1);
});
