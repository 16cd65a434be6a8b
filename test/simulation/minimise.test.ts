import { expect, test } from "vitest";
import type { MemoryLedger } from "../../src/ledger/memory.ts";
import { minimise } from "./minimise.ts";
import { planOf } from "./plan.ts";
import { judgePlan } from "./run-seed.ts";
import { storyOf } from "./story.ts";
import { POOL_NAME } from "./witness.ts";
import type { Planted } from "./world.ts";

const TIME_LIMIT_MS = 120_000;

/** Whoever finds the pool empty is written over the first row's owner: the story of the two users and one voucher. */
const SECOND_OWNER: Planted = {
  ledger: (ledger: MemoryLedger) =>
    new Proxy(ledger, {
      get(target, name) {
        const value: unknown = Reflect.get(target, name);
        if (name === "claim") {
          return async (...asked: Parameters<MemoryLedger["claim"]>) => {
            const answers = await target.claim(...asked);
            const index = answers.findIndex(({ status }) => status === "empty");
            const row = target.tables[POOL_NAME]?.[0];
            if (index >= 0 && row !== undefined) row.user_id = asked[0].requests[index]?.claimant;
            return answers;
          };
        }
        return typeof value === "function" ? value.bind(target) : value;
      },
    }),
};

async function firstFailing(planted: Planted): Promise<number> {
  for (let seed = 1; seed <= 200; seed += 1) {
    const { verdict } = await judgePlan(planOf(seed), planted);
    if (verdict.violations[0]?.invariant === "I1") return seed;
  }
  return 0;
}

test(
  "a failing seed is made as small as it gets, and told as a story that ends with the broken promise",
  async () => {
    const seed = await firstFailing(SECOND_OWNER);

    const { plan, verdict } = await minimise(planOf(seed), SECOND_OWNER);
    const story = await storyOf(plan, verdict.violations, SECOND_OWNER);

    expect(seed).toBeGreaterThan(0);
    expect(plan.faults).toEqual([]);
    expect(plan.messages.length).toBe(2);
    expect(plan.rows).toEqual({ "": 1 });
    expect(story.split("\n").length).toBeLessThan(60);
    expect(story).toContain("runs the handler: voucher:1 is u");
    expect(story.split("\n").filter((line) => line.startsWith(">")).length).toBe(
      verdict.violations.flatMap(({ events }) => events).length,
    );
    expect(story.trimEnd().split("\n").at(-1)).toMatch(/^I1 is broken: voucher:1 /);
  },
  TIME_LIMIT_MS,
);
