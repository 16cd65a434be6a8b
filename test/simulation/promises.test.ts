import { expect, test } from "vitest";
import type { FaultPlan } from "./plan.ts";
import { CALL_FAULTS, DELIVERY_FAULTS, PROCESS_FAULTS, WORLD_FAULTS } from "./plan.ts";
import { type JudgedRun, judgeSeed } from "./run-seed.ts";

/** A few, whose histories are looked at too: the program runs more of them in less time than vitest does. */
const SEEDS = 400;
const TIME_LIMIT_MS = 120_000;

/** Where in a run a fault came about: at which call, event or delivery. */
function placeOf(fault: FaultPlan | undefined): string {
  if (fault === undefined) return "";
  if ("call" in fault) return `call ${fault.call}`;
  if ("commit" in fault) return `commit ${fault.commit}`;
  return "delivery" in fault ? `delivery ${fault.delivery}` : `event ${fault.event}`;
}

function placesOfFaults(places: Map<string, string[]>, { run }: JudgedRun): void {
  for (const event of run.history) {
    if (event.what !== "fault" || event.phase !== "hit") continue;
    const place = placeOf(run.plan.faults[Number(event.id.slice(1)) - 1]);
    places.set(event.kind, [...(places.get(event.kind) ?? []), place]);
  }
}

/** Seeds in which a rule of the judge, or the simulated world, once saw wrong where the engine was right. */
const ONCE_FLAGGED = [75_250, 102_100, 109_016, 1_202_795, 1_277_178, 3_326_804, 3_342_292, 4_034_767, 4_086_118];

test.for(ONCE_FLAGGED)("seed %i breaks no promise", async (seed) => {
  const { verdict } = await judgeSeed(seed);

  expect(verdict.violations).toEqual([]);
  expect(verdict.operations).toBeGreaterThan(0);
});

test(
  "every promise is kept, whichever faults come together at whichever await",
  async () => {
    const broken: string[] = [];
    const places = new Map<string, string[]>();
    const outcomes = new Set<string>();

    for (let seed = 1; seed <= SEEDS; seed += 1) {
      const judged = await judgeSeed(seed);
      for (const { invariant, sentence } of judged.verdict.violations) broken.push(`seed ${seed}: ${invariant} ${sentence}`);
      placesOfFaults(places, judged);
      for (const event of judged.run.history) if (event.what === "outcome") outcomes.add(event.status);
    }

    expect(broken).toEqual([]);
    expect([...outcomes].sort()).toEqual(["completed", "contended", "empty", "failed", "lost", "replayed", "taken"]);
    for (const kind of [...CALL_FAULTS, ...PROCESS_FAULTS]) {
      expect(places.get(kind)?.length, kind).toBeGreaterThan(30);
      expect(new Set(places.get(kind)).size, kind).toBeGreaterThan(5);
    }
    expect(places.get("unknown-commit")?.length).toBeGreaterThan(5);
    for (const kind of [...WORLD_FAULTS, ...DELIVERY_FAULTS]) {
      expect(places.get(kind)?.length, kind).toBeGreaterThan(5);
      expect(new Set(places.get(kind)).size, kind).toBeGreaterThan(2);
    }
  },
  TIME_LIMIT_MS,
);
