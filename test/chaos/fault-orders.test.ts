import { describe, expect, it } from "vitest";
import { ACTIONS, BROKERS, type Cell, cellsOf, FAILPOINTS, LOCKS } from "./failpoint.ts";
import { faultOrders, type OrdersFor, wantedOrders } from "./fault-orders.ts";

const FACTS: OrdersFor = {
  seed: 7,
  episode: 3,
  pod: "pod-2.1",
  broker: "bullmq",
  lock: "redlock",
  ttlMs: 1_000,
  everyMs: 500,
  forMs: 30_000,
  actions: [],
};

describe("the faults that a pod is ordered to play on itself", () => {
  it("are the same for the same seed, episode and process", () => {
    const orders = faultOrders(FACTS);

    expect(faultOrders({ ...FACTS })).toEqual(orders);
    expect(orders.length).toBeGreaterThan(40);
  });

  it.each([{ seed: 8 }, { episode: 4 }, { pod: "pod-2.2" }])("are others for %o", (other) => {
    const cells = (facts: OrdersFor) => faultOrders(facts).map(({ atMs, point, action }) => ({ atMs, point, action }));

    expect(cells({ ...FACTS, ...other })).not.toEqual(cells(FACTS));
  });

  it("fall due one after another, until the faults are over", () => {
    const times = faultOrders(FACTS).map(({ atMs }) => atMs);

    expect(times).toEqual([...times].sort((one, other) => one - other));
    expect(Math.max(...times)).toBeLessThan(30_000);
  });

  it("are of the actions that were asked for alone", () => {
    const actions = faultOrders({ ...FACTS, actions: ["throw", "SIGKILL"] }).map(({ action }) => action);

    expect([...new Set(actions)].sort()).toEqual(["SIGKILL", "throw"]);
  });

  it("stand still for longer than the ttl, or than the broker's time, where they say so", () => {
    const orders = Array.from({ length: 50 }, (_, episode) => faultOrders({ ...FACTS, episode })).flat();

    const shortest = (action: string) =>
      Math.min(...orders.filter((order) => order.action === action).map(({ lastsMs }) => lastsMs));
    expect(shortest("SIGSTOP beyond the ttl")).toBeGreaterThan(1_000);
    expect(shortest("synchronous stall beyond the ttl")).toBeGreaterThan(1_000);
    expect(shortest("SIGSTOP beyond the broker's time")).toBeGreaterThan(3_000);
  });
});

describe("the faults that an episode must show", () => {
  const WANTED: readonly Cell[] = [
    { action: "SIGKILL", point: "F8 claim answered" },
    { action: "throw", point: "F9 handler entered" },
  ];

  it("kill in the place of the first pod alone, until one has been killed", () => {
    const first = (hasKilled: boolean) => wantedOrders(WANTED, { slot: 0, pod: "pod-1.2", hasKilled });

    expect(first(false)).toEqual([
      { id: "pod-1.2:wanted-1", action: "SIGKILL", point: "F8 claim answered", atMs: 0, lastsMs: 0 },
    ]);
    expect(first(true)).toEqual([]);
  });

  it("are played in all the others where they do not kill", () => {
    const orders = wantedOrders(WANTED, { slot: 3, pod: "pod-4.1", hasKilled: false });

    expect(orders.map(({ action }) => action)).toEqual(["throw"]);
  });
});

describe("the grid of failpoints and actions", () => {
  it("has every failpoint and every action, over each broker and a lock", () => {
    for (const broker of BROKERS) {
      const cells = cellsOf(broker, "redlock");

      expect(new Set(cells.map(({ point }) => point))).toEqual(new Set(FAILPOINTS));
      const unanswered = broker === "rabbitmq" ? ["broker answer lost"] : [];
      expect(new Set([...cells.map(({ action }) => action), ...unanswered])).toEqual(new Set(ACTIONS));
    }
  });

  it("has no lost answer of a broker that answers nothing", () => {
    expect(cellsOf("rabbitmq", "none").filter(({ action }) => action === "broker answer lost")).toEqual([]);
  });

  it("has no fault of a lock where there is none", () => {
    const cells = cellsOf("bullmq", "none");

    expect(cells.filter(({ point, action }) => /^F(1|2|13) /.test(point) || action.startsWith("lock"))).toEqual([]);
  });

  it("kills and stops at every failpoint that there is", () => {
    for (const lock of LOCKS) {
      const points = (name: string) =>
        cellsOf("rabbitmq", lock)
          .filter(({ action }) => action === name)
          .map(({ point }) => point);

      expect(points("SIGSTOP beyond the ttl")).toEqual(points("SIGKILL"));
      expect(points("SIGKILL")).toHaveLength(lock === "none" ? FAILPOINTS.length - 3 : FAILPOINTS.length);
    }
  });
});
