import { type Action, type BrokerName, type Cell, cellsOf, type LockName } from "./failpoint.ts";
import { randomOf } from "./random-of.ts";

/** One fault that a pod is to play on itself: at the first time that it comes by `point` from `atMs` on. */
export interface FaultOrder extends Cell {
  readonly id: string;
  /** Since the pod began to serve. */
  readonly atMs: number;
  /** How long it stands still, where it does. */
  readonly lastsMs: number;
}

/** For whom orders are made: the same facts, the same orders. */
export interface OrdersFor {
  readonly seed: number;
  readonly episode: number;
  /** `pod-2.3`: the third process in the place of pod 2. */
  readonly pod: string;
  readonly broker: BrokerName;
  readonly lock: LockName;
  readonly ttlMs: number;
  /** How often a fault is due. */
  readonly everyMs: number;
  /** How long faults are played. */
  readonly forMs: number;
  /** Those to choose from; empty: all. */
  readonly actions: readonly Action[];
}

/** The faults that one process plays on itself, in the order in which they fall due. Ends with the first that kills it. */
export function faultOrders(facts: OrdersFor): readonly FaultOrder[] {
  const { seed, episode, pod, broker, lock, everyMs, forMs, ttlMs, actions } = facts;
  const random = randomOf(seed, "orders", episode, pod, broker, lock);
  const cells = cellsOf(broker, lock).filter(({ action }) => actions.length === 0 || actions.includes(action));
  const total = cells.reduce((sum, { weight }) => sum + weight, 0);
  const pick = (): Cell | undefined => {
    let rest = random.fraction() * total;
    return cells.find(({ weight }) => {
      rest -= weight;
      return rest < 0;
    });
  };
  const orders: FaultOrder[] = [];
  for (let atMs = random.between(0, everyMs); atMs < forMs; atMs += Math.round(everyMs * (0.5 + random.fraction()))) {
    const cell = pick();
    if (cell === undefined) break;
    const { point, action } = cell;
    orders.push({ id: `${pod}:${orders.length + 1}`, atMs, point, action, lastsMs: lastsMs(action, ttlMs, random.fraction()) });
  }
  return orders;
}

/** In the ids of faults that an episode must show. */
export const WANTED = ":wanted-";

/**
 * The faults that an episode must show, due at once: those that kill in the first of the pods until one has, the others in all the rest,
 * so that no process is killed that has to play another.
 */
export function wantedOrders(
  wanted: readonly Cell[],
  { slot, pod, hasKilled }: { readonly slot: number; readonly pod: string; readonly hasKilled: boolean },
): readonly FaultOrder[] {
  const isOurs = ({ action }: Cell): boolean => (action === "SIGKILL" ? slot === 0 && !hasKilled : slot > 0);
  return wanted.filter(isOurs).map((cell, index) => ({ ...cell, id: `${pod}${WANTED}${index + 1}`, atMs: 0, lastsMs: 0 }));
}

/** BullMQ's job locks last 2 s and are looked at once a second. */
export const BROKER_TIME_MS = 3_000;

function lastsMs(action: Action, ttlMs: number, share: number): number {
  switch (action) {
    case "SIGSTOP beyond the ttl":
    case "synchronous stall beyond the ttl":
      return Math.round(ttlMs * (1.1 + 0.4 * share));
    case "SIGSTOP beyond the broker's time":
      return Math.round(Math.max(BROKER_TIME_MS, ttlMs) * (1.1 + 0.3 * share));
    default:
      return 0;
  }
}
