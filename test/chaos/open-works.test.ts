import { describe, expect, it } from "vitest";
import type { HistoryEvent, Started } from "../checker/history.ts";
import { isServedAgain, openWorks } from "./open-works.ts";

const POD = { by: "pod-1.1", at: 10 };
const FIRST: Started = {
  ...POD,
  what: "started",
  delivery: "d1",
  claimant: "user-1",
  resource: "voucher_item:1",
  token: 1,
  attempt: 1,
  resumed: false,
};
const SECOND: Started = { ...FIRST, delivery: "d2", claimant: "user-2", resource: "voucher_item:2" };
const COMPLETED: HistoryEvent = { ...POD, what: "outcome", delivery: "d1", claimant: "user-1", status: "completed" };

describe("what a process had in hand", () => {
  it("is what it began and told no outcome of", () => {
    expect(openWorks([FIRST, SECOND, COMPLETED])).toEqual([SECOND]);
  });

  it.each<{ title: string; event: HistoryEvent; isServed: boolean }>([
    { title: "another delivery of its claimant begins", event: { ...FIRST, delivery: "d3", at: 30 }, isServed: true },
    { title: "another is answered", event: { ...COMPLETED, delivery: "d3", at: 30, status: "replayed" }, isServed: true },
    { title: "another has to wait", event: { ...COMPLETED, delivery: "d3", at: 30, status: "contended" }, isServed: false },
    { title: "another was before its death", event: { ...COMPLETED, delivery: "d3", at: 19 }, isServed: false },
    { title: "somebody else is served", event: { ...SECOND, at: 30 }, isServed: false },
  ])("is served again: $isServed, when $title", ({ event, isServed }) => {
    expect(isServedAgain(FIRST, [event], 20)).toBe(isServed);
  });
});
