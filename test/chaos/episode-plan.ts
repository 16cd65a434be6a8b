import type { Outgoing } from "./chaos-broker.ts";
import { type Action, BROKERS, type BrokerName, type Cell, LOCKS, type LockName } from "./failpoint.ts";
import { ticksOf } from "./fault-orders.ts";
import { randomOf } from "./random-of.ts";

/** What a run is asked for. */
export interface RunChoice {
  readonly seed: number;
  readonly brokers: readonly BrokerName[];
  readonly locks: readonly LockName[];
  /** Faults that pods play on themselves; empty: all. */
  readonly actions: readonly Action[];
  /** Faults that every episode must show: its faults last until they have hit. @default none */
  readonly wanted?: readonly Cell[];
  /** Each episode ends with a death in peace, which takes half a minute: L2 is judged by no other. @default true */
  readonly endsInPeace?: boolean;
}

/** How rows are claimed: what the outer lock is about, and what becomes of the row when a handler fails. */
export interface RowChoices {
  readonly lockBy: "claimant" | "row" | "both";
  readonly onFailure: "keep" | "release";
}

/** A message, and when it is sent: since the episode began. */
export interface PlannedMessage extends Outgoing {
  readonly atMs: number;
}

/** All of an episode that a seed decides. */
export interface EpisodePlan extends RowChoices {
  readonly index: number;
  readonly seed: number;
  readonly broker: BrokerName;
  readonly lock: LockName;
  readonly actions: readonly Action[];
  readonly wanted: readonly Cell[];
  readonly endsInPeace: boolean;
  readonly pods: number;
  /** Where the episode's stretch of the deck of faults begins: after those of the rounds before. */
  readonly firstPlace: number;
  readonly ttlMs: number;
  /** How long faults are played. */
  readonly forMs: number;
  /** How often a pod plays one. */
  readonly everyMs: number;
  readonly rows: number;
  readonly messages: readonly PlannedMessage[];
}

const USERS_PER_SECOND = 9;
const KEYS_PER_SECOND = 4;
const KEYS = 8;
/** How often a pod strikes itself: 5 pods and the nemesis together make some 10 faults a second. */
const EVERY_MS = 450;
const TWICE_SHARE = 0.25;
const POISON_SHARE = 0.05;
const ROWS_FOR_USERS = [0.5, 1, 1.5];
/** More than faults can use up: nothing but poison may be given up. */
export const MANY_ATTEMPTS = 10_000;
/** Of poison, where each message has a count of its own. */
const POISON_ATTEMPTS = 4;

/** The episode `index` of a run: all combinations in turn, in an order that the seed decides anew each round. */
export function planEpisode(choice: RunChoice, index: number, forMs: number): EpisodePlan {
  const { seed, actions, wanted = [], endsInPeace = true } = choice;
  const combinations = choice.brokers.flatMap((broker) => choice.locks.map((lock) => ({ broker, lock })));
  const round = Math.floor(index / combinations.length);
  const order = randomOf(seed, "round", round).shuffled(combinations);
  const { broker, lock } = order[index % combinations.length] ?? { broker: BROKERS[0], lock: LOCKS[0] };
  const random = randomOf(seed, "episode", index);
  const users = Math.round((USERS_PER_SECOND * forMs) / 1_000);
  const ticks = ticksOf({ forMs, everyMs: EVERY_MS });
  const isSlow = lock === "etcd" || lock === "zookeeper";
  return {
    index,
    seed,
    broker,
    lock,
    actions,
    wanted,
    endsInPeace,
    pods: podsOf(seed, round),
    firstPlace: Array.from({ length: round }, (_, before) => podsOf(seed, before) * ticks).reduce(
      (sum, places) => sum + places,
      0,
    ),
    ttlMs: isSlow ? 2_000 : random.between(1_000, 1_600),
    forMs,
    everyMs: EVERY_MS,
    rows: Math.round(users * random.oneOf(ROWS_FOR_USERS)),
    messages: plannedMessages(seed, index, forMs),
    ...rowChoices(seed, index),
  };
}

/** The usual ones most often. */
function rowChoices(seed: number, index: number): RowChoices {
  const random = randomOf(seed, "choices", index);
  return {
    lockBy: random.oneOf(["claimant", "claimant", "row", "both"]),
    onFailure: random.oneOf(["keep", "keep", "release"]),
  };
}

/** All episodes of a round have as many. */
function podsOf(seed: number, round: number): number {
  return randomOf(seed, "pods", round).between(4, 5);
}

function plannedMessages(seed: number, index: number, forMs: number): readonly PlannedMessage[] {
  const random = randomOf(seed, "messages", index);
  const anytime = (): number => Math.round(random.fraction() * forMs * 0.9);
  const messages: PlannedMessage[] = [];
  for (let user = 1; user <= Math.round((USERS_PER_SECOND * forMs) / 1_000); user += 1) {
    const isPoison = random.fraction() < POISON_SHARE;
    const attempts = isPoison ? POISON_ATTEMPTS : MANY_ATTEMPTS;
    const facts = { queue: "pool", claimant: `user-${user}`, isPoison, attempts } as const;
    messages.push({ ...facts, message: `m-${user}`, atMs: anytime() });
    if (random.fraction() < TWICE_SHARE) messages.push({ ...facts, message: `m-${user}-again`, atMs: anytime() });
  }
  for (let count = 1; count <= Math.round((KEYS_PER_SECOND * forMs) / 1_000); count += 1) {
    const isPoison = random.fraction() < POISON_SHARE;
    const attempts = isPoison ? POISON_ATTEMPTS : MANY_ATTEMPTS;
    const claimant = `key-${random.between(1, KEYS)}`;
    messages.push({ queue: "resource", message: `r-${count}`, claimant, isPoison, attempts, atMs: anytime() });
  }
  return messages.sort((one, other) => one.atMs - other.atMs);
}
