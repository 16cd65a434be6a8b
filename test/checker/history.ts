/**
 * What a run leaves behind, as the checker reads it: what pods logged of themselves, completed by witnesses that do not depend on them
 * (the importer, the effect sink, the database's audit triggers, the brokers, the lock servers' monitors, the nemesis).
 *
 * On disk it is one JSON object a line; processes append to files of their own. A simulation passes the same objects in memory.
 */

/** What every event has. */
export interface Stamp {
  /**
   * Monotonic ms, of one clock for all processes of the run: CLOCK_MONOTONIC of one kernel, or the virtual clock. Of what a trigger
   * saw, the time of the statement, not of a dump. NaN (in JSON null, or left out): not known, and then not compared.
   */
  readonly at: number;
  /** Who saw it: a pod's incarnation (`pod-2.3`: the third process in the place of pod 2), or a witness. */
  readonly by: string;
}

/** A call's course. `info`: nobody told the caller whether it happened; it stays open to the end. */
export type Phase = "invoke" | "ok" | "fail" | "info";

/** The importer: a message was sent, once or more, on behalf of `claimant`. */
export interface Sent extends Stamp {
  readonly what: "sent";
  readonly message: string;
  /** `pool`: the claimant wants a row. `resource`: the claimant is the key of a named resource. */
  readonly mode: "pool" | "resource";
  readonly claimant: string;
  /** Its handler never succeeds. */
  readonly isPoison: boolean;
  /** May be given up although it was refused nothing: it has so few attempts that faults may use them up. @default isPoison */
  readonly mayDie?: boolean;
  /** The pool and scope its row comes from, as in `OwnerChanged.pool`. @default the only one there is */
  readonly pool?: string;
  /** The row it asks for by its id, named as resources are. */
  readonly pick?: string;
}

/** A pod was handed a message. `delivery` is of this handing-over alone. */
export interface Delivered extends Stamp {
  readonly what: "delivered";
  readonly delivery: string;
  readonly message: string;
}

/** The handler was entered, with what was claimed. `resource`: `voucher_item:17` for a row, `order:42` for a key. */
export interface Started extends Stamp {
  readonly what: "started";
  readonly delivery: string;
  readonly claimant: string;
  readonly resource: string;
  readonly token: number;
  readonly attempt: number;
  readonly resumed: boolean;
  /** Several at once may have the key under one token. Absent: exclusive. */
  readonly mode?: "shared";
  /** The row that the handler was given, called as resources are. */
  readonly row?: string;
  /** Keys of the outer locks that the claim rests on. */
  readonly locks?: readonly string[];
}

/** The claim or a renewal was granted: the process may trust it until `sentAt + ttlMs`, no longer. Without a resource: all it holds. */
export interface Leased extends Stamp {
  readonly what: "leased";
  readonly resource?: string;
  readonly token?: number;
  readonly sentAt: number;
  readonly ttlMs: number;
}

/** `claim.assertHeld()` returned. */
export interface Held extends Stamp {
  readonly what: "held";
  /** Right before the call, of the same clock: a process may be stopped between the call's return and this event. @default at */
  readonly askedAt?: number;
  readonly delivery: string;
  readonly resource: string;
  readonly token: number;
}

/** A fenced write: `claim.transaction()`, or with `completes` `claim.complete()` or the completion that follows the handler. */
export interface Write extends Stamp {
  readonly what: "write";
  readonly phase: Phase;
  /** Of this call alone. */
  readonly op: string;
  readonly delivery: string;
  readonly resource: string;
  readonly token: number;
  readonly completes: boolean;
  /** Of one that completes: whether it puts a message into the outbox. @default it does if it writes, and any write does */
  readonly publishes?: boolean;
  /** Of one that completes: the text of what is stored as its result. */
  readonly result?: string;
}

/** What the engine made of a delivery. */
export interface Outcome extends Stamp {
  readonly what: "outcome";
  readonly delivery: string;
  readonly claimant: string;
  readonly status: "completed" | "replayed" | "contended" | "empty" | "taken" | "lost" | "failed";
  /** The text of the result, the handler's own or the stored one. */
  readonly result?: string;
  /** The code of the error that it ended with, if it has one. */
  readonly code?: string;
}

/** The broker is told, once a delivery. `ok`: it confirmed. */
export interface Settle extends Stamp {
  readonly what: "settle";
  readonly phase: Phase;
  readonly delivery: string;
  readonly message: string;
  readonly disposition: "complete" | "retry" | "fail" | "dead-letter";
}

/** Something escaped: an unhandled rejection or exception; or was still there when the process ended in order. */
export interface Escaped extends Stamp {
  readonly what: "escaped";
  readonly kind: "rejection" | "exception" | "left-lock" | "left-connection" | "left-lease";
  readonly detail: string;
}

/** The audit trigger of the pool's table: a row's owner changed. `n` counts in commit order for each row. */
export interface OwnerChanged extends Stamp {
  readonly what: "owner";
  readonly n: number;
  readonly resource: string;
  readonly was: string | null;
  readonly became: string | null;
  /** The name of the pool and scope it is in. @default the resource up to its last colon */
  readonly pool?: string;
}

/** The audit trigger of the ledger: a claim or named lease changed its token or state. `n` counts in commit order for each resource. */
export interface TokenChanged extends Stamp {
  readonly what: "token";
  readonly n: number;
  readonly resource: string;
  readonly claimant: string;
  readonly token: number;
  readonly status: "held" | "completed" | "failed" | "released" | "free";
  /** The acquisition that has it, where the witness sees it: another one under the same token is no new grant but a broken one. */
  readonly holder?: string;
  /** Of a claim of a row: which attempt this is, from 1. */
  readonly attempt?: number;
}

/**
 * The row that a fenced write left in the user's own table, one for each write, with the token it was written under.
 * A write and a grant are compared by their times, and by `n` where those are equal or unknown and the two share a counter.
 */
export interface Wrote extends Stamp {
  readonly what: "wrote";
  readonly n: number;
  readonly resource: string;
  readonly claimant: string;
  readonly token: number;
  /** Written by the transaction that completed the claim. */
  readonly completes: boolean;
}

/** The pool's table at the end. */
export interface FinalRow extends Stamp {
  readonly what: "final-row";
  readonly resource: string;
  readonly owner: string | null;
  /** As in `OwnerChanged.pool`. */
  readonly pool?: string;
}

/** The ledger at the end. `resource` null: released. */
export interface FinalClaim extends Stamp {
  readonly what: "final-claim";
  readonly claimant: string;
  readonly resource: string | null;
  readonly token: number;
  readonly status: "held" | "completed" | "failed" | "released";
  /** What the row's owner column holds for it, where that is not the claimant as it is named here, as with scopes. */
  readonly owner?: string;
}

/** A receiver outside got an effect: `key` is what it dedupes by (the outbox id, or the claim's key); `n` counts arrivals. */
export interface Effect extends Stamp {
  readonly what: "effect";
  readonly n: number;
  readonly key: string;
  /** `outbox`: a fenced write put it there. `direct`: the handler sent it. */
  readonly via: "outbox" | "direct";
  /** Of `outbox`: whether that write completed the claim. @default not known */
  readonly completes?: boolean;
  readonly claimant: string;
  readonly resource: string;
  readonly token: number;
}

/** What became of a message, as the broker tells at the end. */
export interface FinalMessage extends Stamp {
  readonly what: "final-message";
  readonly message: string;
  readonly state: "completed" | "dead-letter" | "failed" | "waiting" | "gone";
}

/** The reason why a message was given up, as the ledger keeps it at the end. */
export interface FinalLetter extends Stamp {
  readonly what: "final-letter";
  readonly message: string;
}

/** A command a lock server ran, from its own monitor; `n` counts by node. `was`: the value under the key before. */
export interface LockCommand extends Stamp {
  readonly what: "lock";
  readonly n: number;
  readonly node: string;
  readonly key: string;
  readonly owner: string;
  readonly did: "acquired" | "extended" | "released";
  readonly was: string | null;
  /** Of `acquired` and `extended`: for how long. Without it overlap is not summed. */
  readonly ttlMs?: number;
}

/** The nemesis. `hit`: a probe saw that it came about; a fault that did not hit is not counted. */
export interface Fault extends Stamp {
  readonly what: "fault";
  readonly id: string;
  readonly kind: string;
  readonly target: string;
  readonly phase: "injected" | "hit" | "healed";
  /** While it lasts, a lock may be had twice: a clock jumped, a server forgot. */
  readonly breaksExclusion?: boolean;
}

/** The frame of the run: first `began`, then `calm` when the last fault was healed, last `ended` when everything had stopped. */
export interface Frame extends Stamp {
  readonly what: "frame";
  readonly mark: "began" | "calm" | "ended";
  readonly seed?: number;
  /** Rows the pool was filled with. */
  readonly rows?: number;
  /** From `calm` on everything must be done within this. */
  readonly withinMs?: number;
  /** `began`: kinds of events that this run shows. One of which there is none makes the verdict unknown: its witness was blind. */
  readonly witnesses?: readonly HistoryEvent["what"][];
  /** `ended`: all processes that served. One without a log of its own makes the verdict unknown. */
  readonly processes?: readonly string[];
  /** `began`: for L2, how long a lease lasts, and after what time at most the broker delivers again what a dead process had. */
  readonly ttlMs?: number;
  readonly redeliveryMs?: number;
  /** `began`: how much time is kept at most between two works on one key of a named resource. @default 0 */
  readonly intervalMs?: number;
  /** `began`: how many nodes the lock has. @default those of which a command was seen */
  readonly lockNodes?: number;
  /** Completed claims may be claimed again: `onReplay` is "rerun". */
  readonly mayRerun?: boolean;
  /** A refusal as empty or taken is told to the broker as done: its message may go without a completion. */
  readonly mayDropRefused?: boolean;
  /** True: final dumps are complete, so that what they do not hold is not there. */
  readonly hasDump?: boolean;
}

export type HistoryEvent =
  | Sent
  | Delivered
  | Started
  | Leased
  | Held
  | Write
  | Outcome
  | Settle
  | Escaped
  | OwnerChanged
  | TokenChanged
  | Wrote
  | FinalRow
  | FinalClaim
  | Effect
  | FinalMessage
  | FinalLetter
  | LockCommand
  | Fault
  | Frame;

/** The invariants, by the names under which documents speak of them. */
export type InvariantName = "I1" | "I2" | "I3" | "I4" | "I5" | "I6" | "I7" | "I8" | "I9" | "I10" | "I11" | "I12" | "I13";

/** One broken invariant, with as few events as show it. */
export interface Violation {
  readonly invariant: InvariantName;
  /** A sentence: what was seen that must not be. */
  readonly sentence: string;
  readonly events: readonly HistoryEvent[];
}

export interface Verdict {
  /** `unknown`: nothing bad was seen, and too little was tried to say that nothing is. Never `valid` then. */
  readonly verdict: "valid" | "invalid" | "unknown";
  /** Why it is unknown. */
  readonly reason?: string;
  readonly violations: readonly Violation[];
  readonly operations: number;
  readonly faultsHit: number;
  readonly figures?: Figures;
  /** Those of the invariants that had anything to judge: of the others the verdict says nothing. */
  readonly judged?: readonly InvariantName[];
}

/** What was seen and is allowed. */
export interface Figures {
  /** Calls that nobody told the caller the end of. */
  readonly unknownAnswers: number;
  /** Effects that came more than once, before the receiver dedupes. */
  readonly duplicateEffects: number;
  /** For how long a lock server let two owners have a lock, summed over nodes and keys. */
  readonly lockOverlapMs: number;
  /** Deaths of processes after which it was looked whether their claims were served again in time. */
  readonly deathsJudged?: number;
}
