import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { baseHistory } from "./base-history.ts";
import { brokenByDefinition, hasTwoMajorities } from "./brute-force.ts";
import type { HistoryEvent, LockCommand } from "./history.ts";
import { indexHistory } from "./history-index.ts";
import { oneMajority } from "./i10-one-majority.ts";
import { judge } from "./judge.ts";
import { SIMULATED_RUN } from "./judge-options.ts";

const claimant = fc.constantFrom("a", "b", "c");
const resource = fc.constantFrom("voucher:1", "voucher:2");
const holder = fc.constantFrom(undefined, "h1", "h2");
const owner = fc.option(claimant, { nil: null });
const token = fc.integer({ min: 1, max: 4 });
const status = fc.constantFrom("held", "held", "completed", "failed", "released", "released");

const event = fc.oneof(
  fc.record({ what: fc.constant("owner"), resource, was: owner, became: owner }),
  fc.record({ what: fc.constant("token"), resource, claimant, token, status, holder }),
  fc.record({ what: fc.constant("wrote"), resource, claimant, token, completes: fc.constant(false) }),
);

/** The first one of its attempts, so that the count of these is right. */
const start = fc.record({
  what: fc.constant("started"),
  resource,
  claimant,
  token,
  delivery: fc.constantFrom("d1", "d2", "d3"),
  attempt: fc.constant(1),
  resumed: fc.constant(false),
  mode: fc.constantFrom(undefined, undefined, "shared"),
});

/** In commit order, then handed over in some other order. */
const historyOf = (events: fc.Arbitrary<object>) =>
  fc
    .array(events, { maxLength: 7 })
    .map((all) => all.map((one, n) => ({ at: n, by: "audit", n, ...one }) as HistoryEvent))
    .chain((all) => fc.shuffledSubarray(all, { minLength: all.length }));

/** Starts take part where they are judged by pairs. */
const histories = { I1: historyOf(event), I2: historyOf(event), I3: historyOf(fc.oneof(event, start)), I4: historyOf(event) };

/** What servers tell that give their lock away whenever they are asked, and extend it for nobody. */
const lockCommands = fc
  .array(
    fc.record({
      node: fc.constantFrom("n1", "n2", "n3"),
      owner: fc.constantFrom("o1", "o2", "o3"),
      did: fc.constantFrom("acquired", "acquired", "acquired", "released"),
      ttlMs: fc.constantFrom(2, 6, 12),
    }),
    { minLength: 4, maxLength: 14 },
  )
  .map((all) => all.map((one, n) => ({ ...one, at: n, by: "monitor", n, what: "lock", key: "k", was: null }) as LockCommand));

const SENT: readonly HistoryEvent[] = ["a", "b", "c"].map(
  (name) =>
    ({
      ...{ what: "sent", at: 0, by: "importer", message: name, mode: "pool", claimant: name, isPoison: false },
    }) as HistoryEvent,
);

const ENDED: HistoryEvent = { what: "frame", mark: "ended", at: 1_000_000, by: "nemesis" };

describe("the fast scans", () => {
  it.each(["I1", "I2", "I3", "I4"] as const)("of %s agree with its definition over all pairs", (invariant) => {
    let broken = 0;

    fc.assert(
      fc.property(histories[invariant], (events) => {
        const found = judge([...SENT, ...events, ENDED], SIMULATED_RUN).violations.some((one) => one.invariant === invariant);
        if (found) broken += 1;

        expect(found).toBe(brokenByDefinition(events).has(invariant));
      }),
      { numRuns: 1_500, seed: 7 },
    );

    expect(broken).toBeGreaterThan(50);
    expect(broken).toBeLessThan(1_450);
  });

  it("of locks agree with the definition of two majorities, at every moment", () => {
    const frame: HistoryEvent = { what: "frame", mark: "began", lockNodes: 3, at: 0, by: "nemesis" };
    let broken = 0;

    fc.assert(
      fc.property(lockCommands, (commands) => {
        const found = oneMajority(indexHistory([frame, ...commands])).length > 0;
        if (found) broken += 1;

        expect(found).toBe(hasTwoMajorities(commands));
      }),
      { numRuns: 1_500, seed: 7 },
    );

    expect(broken).toBeGreaterThan(50);
    expect(broken).toBeLessThan(1_450);
  });

  it("look at each event a bounded number of times, however long the history is", () => {
    const looks = (copies: number): number => {
      let count = 0;
      const watched = (event: HistoryEvent): HistoryEvent =>
        new Proxy(event, {
          get(target, name, receiver) {
            count += 1;
            return Reflect.get(target, name, receiver);
          },
        });
      judge(repeated(copies).map(watched), SIMULATED_RUN);
      return count;
    };

    const [once, tenfold] = [looks(20), looks(200)];

    expect(tenfold / once).toBeLessThan(11);
  });
});

/** Many claimants and rows, and one key that all work on. */
function repeated(copies: number): HistoryEvent[] {
  const renamed = (value: unknown, copy: number): unknown =>
    typeof value === "string" && /^(m-|voucher:|outbox |[ab]$)/.test(value) ? `${value}~${copy}` : value;
  return Array.from({ length: copies }, (_, copy) =>
    baseHistory()
      .filter((event) => event.what !== "frame" || copy === 0)
      .map((event) => {
        const entries = Object.entries(event).map(([name, value]) => {
          if (name === "at") return [name, value + copy * 400];
          if (name === "sentAt") return [name, value + copy * 400];
          if (name === "token" && "resource" in event && event.resource === "order:k") return [name, value + copy * 2];
          if (name === "n") return [name, value + copy * 100];
          return [name, name === "op" || name === "delivery" ? `${value}~${copy}` : renamed(value, copy)];
        });
        return Object.fromEntries(entries) as HistoryEvent;
      }),
  ).flat();
}
