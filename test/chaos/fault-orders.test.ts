import { describe, expect, it } from "vitest";
import { ACTIONS, BROKERS, type Cell, cellsOf, FAILPOINTS, LOCKS } from "./failpoint.ts";
import { faultOrders, leftOrders, type OrdersFor, wantedOrders } from "./fault-orders.ts";

const FACTS: OrdersFor = {
  seed: 7,
  episode: 3,
  pod: "pod-2.1",
  slot: 1,
  pods: 5,
  firstPlace: 0,
  fromMs: 0,
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

  it.each([{ seed: 8 }, { firstPlace: 300 }, { slot: 2 }])("are others for %o", (other) => {
    const cells = (facts: OrdersFor) => faultOrders(facts).map(({ atMs, point, action }) => ({ atMs, point, action }));

    expect(cells({ ...FACTS, ...other })).not.toEqual(cells(FACTS));
  });

  it("fall due one after another, until the faults are over", () => {
    const times = faultOrders(FACTS).map(({ atMs }) => atMs);

    expect(times).toEqual([...times].sort((one, other) => one - other));
    expect(Math.max(...times)).toBeLessThan(30_000);
  });

  it("of a process that comes later are those of its place from then on", () => {
    const later = faultOrders({ ...FACTS, pod: "pod-2.2", fromMs: 10_000 });

    const kinds = (orders: typeof later) => orders.map(({ point, action }) => `${action} at ${point}`);
    expect(kinds(later)).toEqual(kinds(faultOrders(FACTS).filter(({ atMs }) => atMs >= 10_000)));
    expect(later[0]?.atMs).toBeLessThan(1_000);
  });

  it("deal every cell of an action once before any of them again, over all places of an episode", () => {
    const places = [0, 1, 2, 3, 4].flatMap((slot) => faultOrders({ ...FACTS, slot, forMs: 60_000 }));
    const points = places.filter(({ action }) => action === "throw").map(({ point }) => point);

    const counts = [...new Set(points)].map((point) => points.filter((other) => other === point).length);
    expect(new Set(points).size).toBe(cellsOf("bullmq", "redlock").filter(({ action }) => action === "throw").length);
    expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1);
  });

  it("are handed on to the next process where they were due and their point was not reached", () => {
    const [first, second, third] = faultOrders(FACTS);
    if (first === undefined || second === undefined || third === undefined) throw new Error("there are too few orders");
    const before = { orders: [first, second, third], fromMs: 500, played: new Set([second.id]) };

    const left = leftOrders(before, { pod: "pod-2.2", fromMs: 500 + third.atMs });

    expect(left).toEqual([{ ...first, id: "pod-2.2:left-1", atMs: 0 }]);
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
    { action: "close", point: "F10 effect sent" },
    { action: "throw", point: "F9 handler entered" },
  ];

  it("end processes in the place of the first pod alone, one after another, until each has ended one", () => {
    const first = (...ended: readonly string[]) => wantedOrders(WANTED, { slot: 0, pod: "pod-1.2", ended: new Set(ended) });

    expect(first()).toEqual([{ id: "pod-1.2:wanted-1", action: "SIGKILL", point: "F8 claim answered", atMs: 0, lastsMs: 0 }]);
    expect(first("SIGKILL at F8 claim answered").map(({ action }) => action)).toEqual(["close"]);
    expect(first("SIGKILL at F8 claim answered", "close at F10 effect sent")).toEqual([]);
  });

  it("are played in all the others where they end no process", () => {
    const orders = wantedOrders(WANTED, { slot: 3, pod: "pod-4.1", ended: new Set() });

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

    expect(
      cells.filter(({ point, action }) => /^F(1|2|13) /.test(point) || point.includes("lock") || action.startsWith("lock")),
    ).toEqual([]);
  });

  it("kills and stops at every failpoint that there is", () => {
    for (const lock of LOCKS) {
      const points = (name: string) =>
        cellsOf("rabbitmq", lock)
          .filter(({ action }) => action === name)
          .map(({ point }) => point);

      expect(points("SIGSTOP beyond the ttl")).toEqual(points("SIGKILL"));
      expect(points("SIGKILL")).toHaveLength(lock === "none" ? FAILPOINTS.length - 4 : FAILPOINTS.length);
    }
  });
});
