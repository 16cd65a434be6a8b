import { describe, expect, it } from "vitest";
import { planEpisode, type RunChoice } from "./episode-plan.ts";
import { BROKERS, LOCKS } from "./failpoint.ts";

const CHOICE: RunChoice = { seed: 11, brokers: BROKERS, locks: LOCKS, actions: [] };
const FOR_MS = 30_000;

describe("the plan of an episode", () => {
  it("is the same for the same seed and number", () => {
    expect(planEpisode({ ...CHOICE }, 5, FOR_MS)).toEqual(planEpisode(CHOICE, 5, FOR_MS));
    expect(planEpisode({ ...CHOICE, seed: 12 }, 5, FOR_MS).messages).not.toEqual(planEpisode(CHOICE, 5, FOR_MS).messages);
  });

  it("takes every broker with every lock in turn, before any of them again", () => {
    const round = Array.from({ length: 16 }, (_, index) => planEpisode(CHOICE, index, FOR_MS));

    expect(new Set(round.map(({ broker, lock }) => `${broker} ${lock}`)).size).toBe(16);
  });

  it("sends a quarter of the users' messages twice, under other ids, and some poison", () => {
    const { messages } = planEpisode(CHOICE, 0, 300_000);
    const ofPool = messages.filter(({ queue }) => queue === "pool");
    const users = new Set(ofPool.map(({ claimant }) => claimant));

    expect(new Set(messages.map(({ message }) => message)).size).toBe(messages.length);
    expect(ofPool.length / users.size).toBeCloseTo(1.25, 1);
    expect(messages.filter(({ isPoison }) => isPoison).length / messages.length).toBeCloseTo(0.05, 1);
  });

  it("shares eight named resources among all messages that want one", () => {
    const { messages } = planEpisode(CHOICE, 0, FOR_MS);
    const keys = messages.filter(({ queue }) => queue === "resource").map(({ claimant }) => claimant);

    expect(new Set(keys).size).toBe(8);
  });

  it("sends nothing that the faults are over for", () => {
    const { messages } = planEpisode(CHOICE, 2, FOR_MS);

    expect(Math.max(...messages.map(({ atMs }) => atMs))).toBeLessThan(30_000);
  });
});
