import { SeededRandom } from "./seeded-random.ts";

/**
 * How a handler ends its claim. `release`: a slow run gives its row or key back and throws; a quick one returns. `complete-caught`: it
 * catches what a completion that failed threw, and returns; `complete-again`: it works on then, and completes; `complete-unawaited`: it
 * returns while its completion is under way.
 */
export type Ending =
  | "return"
  | "complete"
  | "complete-with"
  | "release"
  | "complete-caught"
  | "complete-again"
  | "complete-unawaited";

/** What a handler does, in this order. */
export interface WorkPlan {
  readonly asserts: boolean;
  /** Fenced transactions before the ending, each a write and perhaps a message. */
  readonly writes: number;
  readonly workMs: number;
  /** Goes on working after its signal was aborted. */
  readonly ignoresSignal: boolean;
  /** A loop that lets nothing else run, after the work. 0: none. */
  readonly stallMs: number;
  /** An effect outside the database, which the receiver tells apart by the claim. */
  readonly hasEffect: boolean;
  /** So many runs take their time, with all that may go wrong in it; those that follow are quick. */
  readonly slowRuns: number;
  /** So many runs throw at the end of their work. */
  readonly throws: number;
  /** Throws in the work of a transaction, which has published by then; else before. */
  readonly throwsInside: boolean;
  readonly ending: Ending;
}

export interface MessagePlan {
  readonly id: string;
  readonly mode: "pool" | "resource";
  readonly claimant: string;
  readonly scope: string | null;
  readonly pick: string | null;
  readonly sentAtMs: number;
  readonly isPoison: boolean;
  readonly work: WorkPlan;
}

/** At a call that a process makes: its number, of that process. */
export interface CallFault {
  readonly kind: "lost-request" | "lost-answer" | "late-request" | "slow-answer";
  readonly process: number;
  readonly call: number;
  readonly forMs: number;
}

/** At a COMMIT that a process sends, its number of that process: whether it took place is not told. */
export interface CommitFault {
  readonly kind: "unknown-commit";
  readonly process: number;
  readonly commit: number;
  readonly forMs: number;
}

/** When a process gets its event of this number: an answer, a timer, a message. */
export interface ProcessFault {
  readonly kind: "crash" | "pause" | "stall" | "close";
  readonly process: number;
  readonly event: number;
  readonly forMs: number;
}

/** At an event of the whole world. */
export interface WorldFault {
  readonly kind: "locks-forgotten" | "lock-clock-jump" | "database-away" | "lock-away" | "broker-away";
  readonly event: number;
  readonly forMs: number;
}

/** At a handing-over of this number. */
export interface DeliveryFault {
  readonly kind: "duplicate-delivery" | "reordered-delivery";
  readonly delivery: number;
}

export type FaultPlan = CallFault | CommitFault | ProcessFault | WorldFault | DeliveryFault;

export const CALL_FAULTS = ["lost-request", "lost-answer", "late-request", "slow-answer"] as const;
export const PROCESS_FAULTS = ["crash", "pause", "stall", "close"] as const;
export const WORLD_FAULTS = ["locks-forgotten", "lock-clock-jump", "database-away", "lock-away", "broker-away"] as const;
/** Where there is no lock server. */
const UNLOCKED_WORLD_FAULTS = ["database-away", "broker-away"] as const;
export const DELIVERY_FAULTS = ["duplicate-delivery", "reordered-delivery"] as const;

/** All that a run is made of. The same plan gives the same history. */
export interface Plan {
  readonly seed: number;
  readonly ttlMs: number;
  /** About what one way of a call takes. */
  readonly latencyMs: number;
  /** After so long a call that was not answered is given up. */
  readonly timeoutMs: number;
  readonly processes: number;
  /** Messages that one process works on at a time. */
  readonly slots: number;
  readonly broker: {
    /** A message that is not settled in time is delivered again. */
    readonly timeoutMs: number;
    /** A process that runs keeps its messages for longer. */
    readonly renews: boolean;
    /** A crash closes the connection, which brings its messages back at once. */
    readonly noticesCrash: boolean;
    readonly attempts: number;
  };
  /** Free rows by scope; one entry under "" where there are no scopes. */
  readonly rows: Readonly<Record<string, number>>;
  readonly lockBy: "none" | "claimant" | "row" | "both";
  readonly onFailure: "keep" | "release";
  readonly onGiveUp: "keep" | "release";
  readonly onReplay: "return-result" | "rerun";
  readonly onContended: "retry" | "wait";
  readonly onEmpty: "fail" | "dead-letter" | "retry";
  readonly maxHoldMs: number | null;
  /** A transaction keeps the row of its claim from everybody until it ends, as in a database; else whoever takes over wins. */
  readonly locksRows: boolean;
  /** The ledger has the quick way for new claims. */
  readonly hasClaimNew: boolean;
  readonly resource: { readonly mode: "exclusive" | "shared"; readonly minIntervalMs: number; readonly from: "start" | "end" };
  readonly messages: readonly MessagePlan[];
  readonly faults: readonly FaultPlan[];
  /** Faults begin before this instant, and are over by it. */
  readonly calmAtMs: number;
}

/** Everything about a run follows from its seed. */
export function planOf(seed: number): Plan {
  const random = new SeededRandom(seed);
  const ttlMs = random.pick([300, 1_000, 1_000, 3_000]);
  const latencyMs = random.pick([1, 3, ttlMs / 50]);
  const processes = random.pick([2, 2, 2, 3, 4]);
  const hasScopes = random.chance(0.15);
  const count = random.pick([1, 2, 2, 2, 2, 2, 3, 3, 4, 6]);
  const calmAtMs = Math.round(ttlMs * (1 + random.fraction() * 4));
  const sentWithinMs = random.pick([0, latencyMs * 5, ttlMs]);
  const usual = messagesOf(random, { count, ttlMs, hasScopes, sentWithinMs });
  const messages = withRareEndings(usual, new SeededRandom(seed, RARE), ttlMs);
  const claimants = new Set(messages.flatMap((message) => (message.mode === "pool" ? [message.claimant] : []))).size;
  const highestPick = Math.max(0, ...messages.map(({ pick }) => Number(pick ?? 0)));
  const lockBy = random.pick(["none", "claimant", "claimant", "row", "both"] as const);
  const rowCount = Math.max(1, highestPick, random.pick([claimants, claimants, Math.ceil(claimants / 2), claimants + 2]));
  return {
    seed,
    ttlMs,
    latencyMs,
    timeoutMs: random.pick([ttlMs / 10, ttlMs / 2, 5_000]),
    processes,
    slots: random.pick([1, 1, 2, 3]),
    broker: {
      timeoutMs: Math.round(ttlMs * random.pick([0.3, 0.8, 1.5, 3])),
      renews: random.chance(0.7),
      noticesCrash: random.chance(0.5),
      attempts: random.pick([1, 2, 3, 3]),
    },
    rows: rowsOf(random, hasScopes, rowCount),
    lockBy,
    onFailure: random.pick(["keep", "keep", "release"]),
    onGiveUp: random.pick(["keep", "release"]),
    onReplay: random.pick(["return-result", "return-result", "return-result", "rerun"]),
    onContended: random.pick(["retry", "retry", "wait"]),
    onEmpty: random.pick(["fail", "dead-letter", "dead-letter", "retry"]),
    maxHoldMs: random.chance(0.1) ? ttlMs * 1.5 : null,
    locksRows: random.chance(0.5),
    hasClaimNew: random.chance(0.4),
    resource: {
      mode: random.pick(["exclusive", "exclusive", "shared"]),
      minIntervalMs: random.pick([0, 0, Math.round(ttlMs / 4), ttlMs * 2]),
      from: random.pick(["start", "end"]),
    },
    messages,
    faults: faultsOf(random, { processes, count, ttlMs, hasLocks: lockBy !== "none" }),
    calmAtMs,
  };
}

function rowsOf(random: SeededRandom, hasScopes: boolean, count: number): Record<string, number> {
  if (!hasScopes) return { "": count };
  const first = random.whole(1, Math.max(2, count));
  return { a: first, b: Math.max(1, count - first) };
}

interface Workload {
  readonly count: number;
  readonly ttlMs: number;
  readonly hasScopes: boolean;
  readonly sentWithinMs: number;
}

function messagesOf(random: SeededRandom, load: Workload): MessagePlan[] {
  const share = random.pick([0, 0, 0, 0.5, 1]);
  const keys = random.pick([1, 1, 2]);
  const hasPicks = !load.hasScopes && random.chance(0.1);
  const messages: MessagePlan[] = [];
  for (let number = 1; number <= load.count; number += 1) {
    const isResource = random.chance(share);
    // A quarter are duplicates of an earlier message, published under another id.
    const earlier = messages[random.whole(0, number * 4)];
    const claimant = isResource ? `k${random.whole(0, keys)}` : earlier?.mode === "pool" ? earlier.claimant : `u${number}`;
    messages.push({
      id: `m${number}`,
      mode: isResource ? "resource" : "pool",
      claimant,
      scope: isResource || !load.hasScopes ? null : random.pick(["a", "b"]),
      pick: !isResource && hasPicks ? String(random.whole(1, Math.ceil(load.count / 2) + 1)) : null,
      sentAtMs: Math.round(random.fraction() * load.sentWithinMs),
      isPoison: random.chance(0.05),
      work: workOf(random, load.ttlMs),
    });
  }
  return messages;
}

/** The stream of chance that decides on endings which few handlers have. */
const RARE = 9;

function withRareEndings(messages: readonly MessagePlan[], random: SeededRandom, ttlMs: number): MessagePlan[] {
  return messages.map((message) => {
    if (!random.chance(0.25)) return message;
    const ending = random.pick(["complete-caught", "complete-again", "complete-unawaited"] as const);
    // Who goes on after a completion that failed may do so for longer than its lease.
    const workMs = ending === "complete-again" ? Math.round(ttlMs * 2 * random.fraction()) : message.work.workMs;
    return { ...message, work: { ...message.work, ending, workMs } };
  });
}

function workOf(random: SeededRandom, ttlMs: number): WorkPlan {
  const share = random.fraction();
  const part = share < 0.85 ? 0.1 * random.fraction() : share < 0.97 ? 0.8 + 0.5 * random.fraction() : 2 + random.fraction();
  return {
    asserts: random.chance(0.5),
    writes: random.pick([0, 0, 0, 1, 2]),
    workMs: Math.round(ttlMs * part),
    ignoresSignal: random.chance(0.3),
    stallMs: random.chance(0.05) ? Math.round(ttlMs * (0.5 + random.fraction())) : 0,
    hasEffect: random.chance(0.4),
    slowRuns: random.pick([1, 1, 2]),
    throws: random.pick([0, 0, 0, 0, 0, 0, 0, 0, 1, 2]),
    throwsInside: random.chance(0.5),
    ending: random.pick([
      "return",
      "return",
      "return",
      "complete",
      "complete",
      "complete-with",
      "complete-with",
      "complete-with",
      "release",
    ]),
  };
}

/** Events and calls of one process, and handings-over of a message, that a run usually comes to. */
const EVENTS_PER_MESSAGE = 12;
const CALLS_PER_MESSAGE = 6;
const DELIVERIES_PER_MESSAGE = 2;

interface FaultLoad {
  readonly processes: number;
  readonly count: number;
  readonly ttlMs: number;
  readonly hasLocks: boolean;
}

function faultsOf(random: SeededRandom, of: FaultLoad): FaultPlan[] {
  const share = of.count / of.processes;
  return Array.from({ length: random.pick([0, 1, 1, 2, 2, 3, 4, 6]) }, (): FaultPlan => {
    const forMs = Math.round(of.ttlMs * random.pick([0.05, 0.4, 1.2, 2.5]) * (0.5 + random.fraction()));
    const process = random.whole(0, of.processes);
    const luck = random.fraction();
    if (luck < 0.08) return { kind: "unknown-commit", process, commit: random.whole(0, 2), forMs };
    if (luck < 0.48) {
      return { kind: random.pick(CALL_FAULTS), process, call: early(random, 2 + share * CALLS_PER_MESSAGE), forMs };
    }
    if (luck < 0.78) {
      return { kind: random.pick(PROCESS_FAULTS), process, event: 1 + early(random, 3 + share * EVENTS_PER_MESSAGE), forMs };
    }
    if (luck < 0.9) {
      return {
        kind: of.hasLocks ? random.pick(WORLD_FAULTS) : random.pick(UNLOCKED_WORLD_FAULTS),
        event: 1 + early(random, of.count * EVENTS_PER_MESSAGE),
        forMs,
      };
    }
    return { kind: random.pick(DELIVERY_FAULTS), delivery: early(random, of.count * DELIVERIES_PER_MESSAGE) };
  });
}

/** Below `limit`, and rather at the beginning, where every run comes. */
function early(random: SeededRandom, limit: number): number {
  return Math.floor(random.fraction() * random.fraction() * limit);
}
