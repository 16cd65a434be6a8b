import { describe, expect, it } from "vitest";
import type { LockName } from "../chaos/failpoint.ts";
import { type ChaosReport, runChaos } from "../chaos/run-chaos.ts";

const ONE_EPISODE = { minutes: 0.01, seed: 20_261, episodeMs: 7_000, actions: [] } as const;

/*
 * A minute of the program `npm run chaos`, which plays every broker with every lock back-end for as long as one likes.
 */
describe.each([
  { broker: "bullmq", lock: "redlock" },
  { broker: "rabbitmq", lock: "none" },
] as const)("pods over $broker with the lock $lock, struck all the time", ({ broker, lock }) => {
  it("leave a history in which the checker finds nothing broken", async () => {
    const report = await runChaos({ ...ONE_EPISODE, brokers: [broker], locks: [lock satisfies LockName] });

    expect(report).toMatchObject({ verdict: "valid", violations: [], episodes: 1 });
    expect(kindsHit(report)).toEqual(expect.arrayContaining(["killed", "connections cut", "thrown or stalled"]));
    expect(report.operations).toBeGreaterThan(100);
  });
});

/** Chance decides which faults find their place in so short a time, and not which sorts of them. */
function kindsHit({ byKind }: ChaosReport): readonly string[] {
  const sorts = [
    ["killed", /^SIGKILL/],
    ["connections cut", /connection|answer|backend/],
    ["thrown or stalled", /^throw|stall/],
  ] as const;
  return sorts.filter(([, sign]) => Object.keys(byKind).some((kind) => sign.test(kind))).map(([name]) => name);
}
