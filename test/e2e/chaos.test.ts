import { describe, expect, it } from "vitest";
import type { Cell } from "../chaos/failpoint.ts";
import { runChaos } from "../chaos/run-chaos.ts";

/** One of each sort; the kill leaves a call that nobody answers. The faults last until they have hit, however busy the machine. */
const WANTED: readonly Cell[] = [
  { action: "SIGKILL", point: "F12 COMMIT sent" },
  { action: "close", point: "F10 effect sent" },
  { action: "throw", point: "F9 handler entered" },
  { action: "database answer lost", point: "F12 completion sent" },
];

const ONE_EPISODE = { minutes: 0.01, seed: 20_261, episodeMs: 5_000, actions: [], wanted: WANTED } as const;

/*
 * A minute of the program `npm run chaos`, which plays every broker with every lock back-end for as long as one likes.
 */
describe.each([
  // RabbitMQ delivers again as soon as a process has died, so that the death in peace is judged sooner there.
  { broker: "bullmq", lock: "redlock", endsInPeace: false },
  { broker: "rabbitmq", lock: "none", endsInPeace: true },
] as const)("pods over $broker with the lock $lock, struck all the time", ({ broker, lock, endsInPeace }) => {
  it("leave a history in which the checker finds nothing broken", async () => {
    const report = await runChaos({ ...ONE_EPISODE, brokers: [broker], locks: [lock], endsInPeace });

    expect(report).toMatchObject({ verdict: "valid", violations: [], reasons: [], episodes: 1 });
    const kinds = ["SIGKILL", "close", "throw", "database answer lost", ...(endsInPeace ? ["SIGKILL in peace"] : [])];
    expect(Object.keys(report.byKind)).toEqual(expect.arrayContaining(kinds));
    expect(report.deathsJudged).toBeGreaterThanOrEqual(endsInPeace ? 1 : 0);
    expect(report.operations).toBeGreaterThan(100);
  });
});
