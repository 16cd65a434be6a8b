import { type DeckOf, deckOf } from "./cell-deck.ts";
import { type Action, type Cell, endsProcess, kindOf } from "./failpoint.ts";
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
export interface OrdersFor extends DeckOf {
  readonly episode: number;
  /** Where the episode's stretch of the deck begins. */
  readonly firstPlace: number;
  /** How many processes play at a time. */
  readonly pods: number;
  /** `pod-2.3`: the third process in the place of pod 2. */
  readonly pod: string;
  /** Its place, from 0. */
  readonly slot: number;
  readonly ttlMs: number;
  /** How often a fault is due. */
  readonly everyMs: number;
  /** How long the episode plays faults. */
  readonly forMs: number;
  /** When the process comes to its place, since the episode began. */
  readonly fromMs: number;
}

/**
 * The faults that one process plays on itself, in the order in which they fall due: those of its place in the crew from when it came
 * there. All places share the episode's stretch of the deck, so that no cell is dealt again before the others, whoever dies.
 */
export function faultOrders(facts: OrdersFor): readonly FaultOrder[] {
  const { seed, episode, firstPlace, pod, pods, slot, everyMs, forMs, fromMs, ttlMs } = facts;
  const deck = deckOf(facts);
  const random = randomOf(seed, "orders", episode, slot, facts.broker, facts.lock);
  const ticks = ticksOf(facts);
  const orders: FaultOrder[] = [];
  for (let tick = 0; tick < ticks; tick += 1) {
    const cell = deck.at(firstPlace + tick * pods + slot);
    if (cell === undefined) break;
    const atMs = Math.round((tick + random.fraction()) * everyMs);
    const { point, action } = cell;
    const order = { id: `${pod}:${tick + 1}`, point, action, lastsMs: lastsMs(action, ttlMs, random.fraction()) };
    if (atMs >= fromMs && atMs < forMs) orders.push({ ...order, atMs: atMs - fromMs });
  }
  return orders;
}

/** How often a fault is due for one place in the crew, in one episode. */
export function ticksOf({ forMs, everyMs }: { readonly forMs: number; readonly everyMs: number }): number {
  return Math.ceil(forMs / everyMs);
}

/** No more are handed on, so that a process on a busy machine is not struck at every step it takes. */
const MOST_LEFT = 8;

/** What was due the longest for the process that was there before and never came about: its point was not reached. */
export function leftOrders(
  before: { readonly orders: readonly FaultOrder[]; readonly fromMs: number; readonly played: ReadonlySet<string> },
  { pod, fromMs }: Pick<OrdersFor, "pod" | "fromMs">,
): readonly FaultOrder[] {
  const left = before.orders.filter(({ id, atMs }) => !before.played.has(id) && before.fromMs + atMs < fromMs);
  return left.slice(0, MOST_LEFT).map((order, index) => ({ ...order, id: `${pod}:left-${index + 1}`, atMs: 0 }));
}

/** In the ids of faults that an episode must show. */
export const WANTED = ":wanted-";

/**
 * The faults that an episode must show, due at once: those that end a process in the first of the pods, one in each of its processes until
 * all have been, the others in all the rest, so that no process ends that has to play another.
 */
export function wantedOrders(
  wanted: readonly Cell[],
  { slot, pod, ended }: { readonly slot: number; readonly pod: string; readonly ended: ReadonlySet<string> },
): readonly FaultOrder[] {
  const [end] = wanted.filter((cell) => endsProcess(cell.action) && !ended.has(kindOf(cell)));
  const ends = end === undefined ? [] : [end];
  const ours = slot === 0 ? ends : wanted.filter(({ action }) => !endsProcess(action));
  return ours.map((cell, index) => ({ ...cell, id: `${pod}${WANTED}${index + 1}`, atMs: 0, lastsMs: 0 }));
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
