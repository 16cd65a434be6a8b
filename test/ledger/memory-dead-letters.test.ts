import { describe, expect, it } from "vitest";
import { memoryDeadLetters } from "../../src/ledger/memory-dead-letters.ts";
import { type DeadLettersFixture, deadLettersConformance, letterOf } from "../conformance/dead-letters-conformance.ts";

deadLettersConformance("memory", async () => openMemory());

describe("the dead letters in memory alone", () => {
  it("take effect before they are answered", async () => {
    const { deadLetters } = openMemory();

    const recording = deadLetters.record([letterOf()]);
    const atOnce = deadLetters.letters().map(({ messageId }) => messageId);
    await recording;

    expect(atOnce).toEqual(["m-1"]);
  });

  it("give a snapshot, which later notes leave as it was, with times of the clock they were given", async () => {
    const { deadLetters, elapse } = openMemory();
    await deadLetters.record([letterOf()]);
    const before = deadLetters.letters();
    await elapse(250);

    await deadLetters.record([letterOf()]);

    expect(before).toMatchObject([{ times: 1, firstAtMs: 0, lastAtMs: 0 }]);
    expect(deadLetters.letters()).toMatchObject([{ times: 2, firstAtMs: 0, lastAtMs: 250 }]);
  });
});

function openMemory() {
  let nowMs = 0;
  const clock = {
    now: () => nowMs,
    after: () => {
      throw new Error("The dead letters in memory set no timers.");
    },
  };
  const deadLetters = memoryDeadLetters({ clock });
  return {
    deadLetters,
    records: async () => deadLetters.letters().map(({ note: _, ...record }) => record),
    elapse: async (ms: number) => {
      nowMs += ms;
    },
    close: async () => {},
  } satisfies DeadLettersFixture;
}
