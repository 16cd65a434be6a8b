import { type Add, added, all, altered, type Change, without } from "./base-history.ts";
import type { InvariantName } from "./history.ts";
import { badLockHistories, badWaits } from "./lock-histories.ts";

/** What is wrong in a run, as a phrase; the invariant that must reject it; what makes the base history into it. */
export type BadHistory = readonly [invariant: InvariantName, wrong: string, change: Change];

const grantB = { resource: "voucher:1", claimant: "b" } as const;

function delivered(add: Add, message: string, delivery = `${message}/9`): void {
  add("delivered", { delivery, message, at: 150 });
}

/** Under token 2, once 3 was granted. */
function lateWrite(add: Add, at: number): void {
  add("token", { n: 98, resource: "order:k", claimant: "k", token: 3, status: "held", at: at - 1 });
  add("wrote", { n: 99, resource: "order:k", claimant: "k", token: 2, completes: false, at });
}

/** Of one delivery, told as empty from 150 to 160. */
const emptied = (add: Add): void => {
  add("sent", { message: "m-c", mode: "pool", claimant: "c", isPoison: false });
  delivered(add, "m-c");
  add("outcome", { delivery: "m-c/9", claimant: "c", status: "empty", at: 160 });
  add("settle", { phase: "ok", delivery: "m-c/9", message: "m-c", disposition: "dead-letter", at: 161 });
  add("final-message", { message: "m-c", state: "dead-letter" });
};

/** Of one delivery that asked for a row, told as taken from 150 to 160. */
function toldTaken(add: Add, pick: string): void {
  add("sent", { message: "m-c", mode: "pool", claimant: "c", isPoison: false, pick });
  delivered(add, "m-c");
  add("outcome", { delivery: "m-c/9", claimant: "c", status: "taken", at: 160 });
  add("final-message", { message: "m-c", state: "dead-letter" });
}

/** Ten times as long as the lease. */
function keptWaiting(add: Add): void {
  add("frame", { mark: "began", ttlMs: 10 });
  add("sent", { message: "m-c", mode: "pool", claimant: "c", isPoison: false });
  add("token", { n: 1, resource: "voucher:3", claimant: "c", token: 1, status: "held", at: 60 });
  add("delivered", { delivery: "m-c/2", message: "m-c", at: 160 });
  add("outcome", { delivery: "m-c/2", claimant: "c", status: "contended", at: 161 });
}

function keptFromKey(add: Add): void {
  add("frame", { mark: "began", ttlMs: 10, intervalMs: 20 });
  add("sent", { message: "m-q", mode: "resource", claimant: "q", isPoison: false });
  add("token", { n: 1, resource: "order:q", claimant: "q", token: 1, status: "held", at: 160 });
  add("delivered", { delivery: "m-q/2", message: "m-q", at: 191 });
  add("outcome", { delivery: "m-q/2", claimant: "q", status: "contended", at: 192 });
}

export const badHistories: readonly BadHistory[] = [
  ["I1", "an owner is overwritten", added((add) => add("owner", { n: 99, resource: "voucher:1", was: "a", became: "b" }))],
  [
    "I1",
    "a row is given away, as if it had been free",
    added((add) => add("owner", { n: 99, resource: "voucher:1", was: null, became: "b" })),
  ],
  [
    "I1",
    "a row is claimed while another claim of it is live",
    added((add) => add("token", { ...grantB, n: 99, token: 2, status: "held" })),
  ],
  [
    "I1",
    "an overwritten owner is logged with a number before what came first",
    added((add) => add("owner", { n: 1, resource: "voucher:1", was: null, became: "b", at: 199 })),
  ],
  ["I1", "two claims name one row at the end", added((add) => add("final-claim", { ...grantB, token: 1, status: "held" }))],
  [
    "I2",
    "a claimant is started on a second row",
    added((add) =>
      add("started", { delivery: "m-a/2", claimant: "a", resource: "voucher:3", token: 1, attempt: 1, resumed: false }),
    ),
  ],
  [
    "I2",
    "a claimant has two rows in the ledger",
    added((add) => add("token", { n: 99, resource: "voucher:3", claimant: "a", token: 1, status: "held" })),
  ],
  [
    "I2",
    "a claimant has two rows, and nobody knows since when",
    added((add) => add("token", { n: 99, resource: "voucher:3", claimant: "a", token: 1, status: "held", at: Number.NaN })),
  ],
  [
    "I2",
    "a claimant has a second row for a while",
    added((add) => {
      add("token", { n: 98, resource: "voucher:3", claimant: "a", token: 1, status: "held", at: 151 });
      add("token", { n: 99, resource: "voucher:3", claimant: "a", token: 1, status: "released", at: 152 });
    }),
  ],
  [
    "I2",
    "a claimant has two claims at the end",
    added((add) => add("final-claim", { claimant: "a", resource: "voucher:3", token: 1, status: "failed" })),
  ],
  [
    "I2",
    "a claimant that is done is served again",
    added((add) => {
      add("token", { n: 98, resource: "voucher:1", claimant: "a", token: 2, status: "held" });
      add("token", { n: 99, resource: "voucher:1", claimant: "a", token: 2, status: "completed" });
    }),
  ],
  [
    "I3",
    "a key is granted again under the same token",
    added((add) => add("token", { n: 99, resource: "order:k", claimant: "k", token: 2, status: "held" })),
  ],
  [
    "I3",
    "a key goes back to an older token",
    added((add) => add("token", { n: 99, resource: "order:k", claimant: "k", token: 1, status: "held" })),
  ],
  [
    "I3",
    "a row's token starts again after its release",
    added((add) => {
      add("token", { n: 98, resource: "voucher:2", claimant: "b", token: 1, status: "released" });
      add("token", { n: 99, resource: "voucher:2", claimant: "c", token: 1, status: "held" });
    }),
  ],
  [
    "I3",
    "a lower token is later in commit order, and earlier in time",
    added((add) => add("token", { n: 99, resource: "order:k", claimant: "k", token: 0, status: "free", at: 2 })),
  ],
  [
    "I2",
    "a new token is no new attempt",
    added((add) => {
      add("token", { n: 97, resource: "voucher:3", claimant: "c", token: 1, status: "held", attempt: 1 });
      add("token", { n: 98, resource: "voucher:3", claimant: "c", token: 2, status: "held", attempt: 1 });
    }),
  ],
  [
    "I2",
    "a handler is told of the first attempt at its second",
    added((add) => {
      add("token", { n: 97, resource: "voucher:3", claimant: "c", token: 1, status: "held" });
      add("token", { n: 98, resource: "voucher:3", claimant: "c", token: 2, status: "held" });
      add("started", { delivery: "m-c/2", claimant: "c", resource: "voucher:3", token: 2, attempt: 1, resumed: false });
    }),
  ],
  ["I2", "a second attempt does not know that it resumes", altered("started", { delivery: "m-k2/1" }, { attempt: 2 })],
  ["I2", "a first attempt is told that it resumes", altered("started", { delivery: "m-k2/1" }, { resumed: true })],
  [
    "I3",
    "two deliveries of one claimant work under one token",
    added((add) => {
      delivered(add, "m-a");
      add("started", { delivery: "m-a/9", claimant: "a", resource: "voucher:1", token: 1, attempt: 1, resumed: false });
    }),
  ],
  [
    "I3",
    "a live claim goes to another acquisition under the same token",
    all(
      altered("token", { resource: "voucher:1", status: "held" }, { holder: "h1" }),
      added((add) => add("token", { n: 12, resource: "voucher:1", claimant: "a", token: 1, status: "held", holder: "h2" })),
    ),
  ],
  [
    "I3",
    "a key goes to another acquisition under the same token",
    all(
      altered("token", { resource: "order:k", token: 2, status: "held" }, { holder: "h1" }),
      added((add) => add("token", { n: 22, resource: "order:k", claimant: "k", token: 2, status: "held", holder: "h2" })),
    ),
  ],
  [
    "I4",
    "a row's completion was confirmed, and the row was given back",
    all(
      without("wrote", { resource: "voucher:1", completes: true }),
      altered("token", { resource: "voucher:1", status: "completed" }, { status: "released" }),
    ),
  ],
  [
    "I4",
    "a write commits under an old token after a newer one wrote",
    added((add) => add("wrote", { n: 99, resource: "order:k", claimant: "k", token: 1, completes: false })),
  ],
  [
    "I4",
    "a write commits under an old token when a newer one was granted and has not written",
    added((add) => lateWrite(add, 150)),
  ],
  ["I4", "the same, where the times are not known", added((add) => lateWrite(add, Number.NaN))],
  ["I4", "a confirmed write is not there", without("wrote", { resource: "voucher:1", completes: false })],
  [
    "I4",
    "a confirmed completion is not there",
    all(
      without("token", { resource: "voucher:1", status: "completed" }),
      without("wrote", { resource: "voucher:1", completes: true }),
    ),
  ],
  ["I5", "a claim is gone at the end", without("final-claim", { claimant: "a" })],
  ["I5", "a claim that was worked on was never granted", without("token", { resource: "voucher:1" })],
  ["I5", "the ledger is back at an older token at the end", altered("final-claim", { claimant: "a" }, { token: 0 })],
  ["I5", "a key was worked on under a token that was never granted", without("token", { resource: "order:k", token: 2 })],
  ["I6", "a message still waits", altered("final-message", { message: "m-a" }, { state: "waiting" })],
  [
    "I6",
    "a message is gone, and nothing was done for it",
    all(added((add) => add("sent", { message: "m-z", mode: "pool", claimant: "z", isPoison: false }))),
  ],
  [
    "I6",
    "a message of a key is completed, and nothing was done for it",
    added((add) => {
      add("sent", { message: "m-k3", mode: "resource", claimant: "k", isPoison: false });
      add("final-message", { message: "m-k3", state: "completed" });
    }),
  ],
  [
    "I5",
    "a grant went to another claimant than the one that worked",
    altered("started", { delivery: "m-a/1" }, { claimant: "b" }),
  ],
  [
    "I5",
    "a key was granted for one, and another worked on it",
    altered("started", { delivery: "m-k2/1" }, { claimant: "other" }),
  ],
  [
    "I6",
    "a message that may not be given up is a dead letter, and was refused nothing",
    added((add) => {
      add("sent", { message: "m-z", mode: "pool", claimant: "z", isPoison: false });
      add("final-message", { message: "m-z", state: "dead-letter" });
    }),
  ],
  [
    "I6",
    "a message that was refused is told to the broker as done",
    all(
      added(emptied),
      altered("settle", { message: "m-c" }, { disposition: "complete" }),
      altered("final-message", { message: "m-c" }, { state: "gone" }),
    ),
  ],
  ["I6", "a message has two ends", added((add) => add("final-message", { message: "m-a", state: "dead-letter" }))],
  ["I6", "a message that can never succeed was completed", altered("sent", { message: "m-a" }, { isPoison: true })],
  [
    "I6",
    "the broker is told before the completion was committed",
    altered("token", { resource: "voucher:1", status: "completed" }, { at: 180 }),
  ],
  [
    "I6",
    "the broker is told before the completion is answered",
    altered("write", { op: "m-k1/1/b", phase: "ok" }, { at: 180 }),
  ],
  [
    "I6",
    "the broker is told of a delivery that completed nothing",
    added((add) => {
      delivered(add, "m-k1");
      add("outcome", { delivery: "m-k1/9", claimant: "k", status: "contended" });
      add("settle", { phase: "invoke", delivery: "m-k1/9", message: "m-k1", disposition: "complete" });
    }),
  ],
  [
    "I6",
    "a delivery is settled twice",
    added((add) => add("settle", { phase: "invoke", delivery: "m-a/1", message: "m-a", disposition: "retry" })),
  ],
  [
    "I6",
    "a claimant is refused as empty after it completed",
    added((add) => {
      delivered(add, "m-a");
      add("outcome", { delivery: "m-a/9", claimant: "a", status: "empty" });
    }),
  ],
  ["I7", "a row is owned without a claim", altered("final-row", { resource: "voucher:3" }, { owner: "c" })],
  ["I7", "a claim is without its row", altered("final-row", { resource: "voucher:1" }, { owner: null })],
  ["I7", "a row is owned by one and claimed by another", altered("final-row", { resource: "voucher:1" }, { owner: "b" })],
  ["I7", "a write that failed is there", altered("write", { op: "m-a/1/a", phase: "ok" }, { phase: "fail" })],
  [
    "I7",
    "an unknown write was applied twice",
    all(
      altered("write", { op: "m-a/1/a", phase: "ok" }, { phase: "info" }),
      added((add) => add("wrote", { n: 99, resource: "voucher:1", claimant: "a", token: 1, completes: false })),
    ),
  ],
  ["I7", "the writes of a completion are there without it", without("token", { resource: "voucher:1", status: "completed" })],
  ["I8", "an effect never came", without("effect", { claimant: "a", via: "outbox" })],
  [
    "I8",
    "an effect came under two keys",
    added((add) =>
      add("effect", { n: 9, key: "other", via: "outbox", claimant: "a", resource: "voucher:1", token: 1, completes: true }),
    ),
  ],
  [
    "I8",
    "nothing ever comes out of the outbox, and completions published",
    all(without("effect", { via: "outbox" }), altered("write", { completes: true, token: 1 }, { publishes: true })),
  ],
  [
    "I8",
    "a completion of a key published, and nothing came",
    altered("write", { delivery: "m-k2/1", completes: true }, { publishes: true }),
  ],
  [
    "I8",
    "an effect came of a write that failed",
    all(
      without("wrote", { resource: "order:k", token: 2 }),
      altered("write", { delivery: "m-k2/1", phase: "ok" }, { phase: "fail" }),
      without("token", { resource: "order:k", token: 2, status: "free" }),
      added((add) => add("effect", { n: 9, key: "other", via: "outbox", claimant: "k", resource: "order:k", token: 2 })),
    ),
  ],
  [
    "I8",
    "an effect names a row that its claimant never had",
    added((add) => add("effect", { n: 9, key: "x", via: "direct", claimant: "a", resource: "voucher:2", token: 1 })),
  ],
  [
    "I9",
    "a process is told that it holds after its lease",
    added((add) => add("held", { delivery: "m-a/1", resource: "voucher:1", token: 1, at: 10_050 })),
  ],
  [
    "I9",
    "a lease of another row does not help",
    added((add) => {
      add("leased", { resource: "voucher:2", token: 1, sentAt: 10_000, ttlMs: 100, at: 10_001 });
      add("held", { delivery: "m-a/1", resource: "voucher:1", token: 1, at: 10_050 });
    }),
  ],
  [
    "I9",
    "a renewal of all that was sent before the grant does not help",
    added((add) => {
      add("leased", { resource: "voucher:3", token: 1, sentAt: 149, ttlMs: 5 });
      add("leased", { sentAt: 148, ttlMs: 500 });
      add("held", { delivery: "m-c/1", resource: "voucher:3", token: 1, at: 160 });
    }),
  ],
  ...badLockHistories,
  ["I11", "a row is missing at the end", without("final-row", { resource: "voucher:3" })],
  ["I11", "a row is there twice at the end", added((add) => add("final-row", { resource: "voucher:3", owner: null }))],
  ["I11", "empty, while a row was free", added(emptied)],
  [
    "I11",
    "empty, while a row was free in the pool of the claimant alone",
    all(
      altered("final-row", { resource: "voucher:3" }, { pool: "other" }),
      added(emptied),
      altered("sent", { message: "m-c" }, { pool: "other" }),
    ),
  ],
  ["I11", "taken, while the row was free that was asked for", added((add) => toldTaken(add, "voucher:3"))],
  ["I12", "a rejection nobody handled", added((add) => add("escaped", { kind: "rejection", detail: "boom" }))],
  ["I12", "a lock that was left", added((add) => add("escaped", { kind: "left-lock", detail: "k" }))],
  ["I13", "it took too long after the faults", altered("frame", { mark: "ended" }, { at: 1_201 })],
  ["I13", "a claimant is kept waiting by a lease that is over", added(keptWaiting)],
  ["I13", "a key is kept from everybody after its lease", added(keptFromKey)],
  ...badWaits,
  ["I13", "a message waits when all should be done", altered("final-message", { message: "m-k2" }, { state: "waiting" })],
];
