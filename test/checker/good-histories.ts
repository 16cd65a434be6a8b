import { type Add, added, all, altered, type Change, completes, without } from "./base-history.ts";
import { goodLockHistories, goodWaits } from "./lock-histories.ts";

/** Hard, and right: nothing of these may be flagged. */
export const goodHistories: readonly (readonly [what: string, change: Change])[] = [
  [
    "a message is delivered again after its completion, and replayed",
    added((add) => {
      add("delivered", { delivery: "m-a/2", message: "m-a" });
      add("outcome", { delivery: "m-a/2", claimant: "a", status: "replayed" });
      add("settle", { phase: "invoke", delivery: "m-a/2", message: "m-a", disposition: "complete", at: 151 });
    }),
  ],
  [
    "a second message of one claimant",
    added((add) => {
      add("sent", { message: "m-a2", mode: "pool", claimant: "a", isPoison: false });
      add("delivered", { delivery: "m-a2/1", message: "m-a2" });
      add("outcome", { delivery: "m-a2/1", claimant: "a", status: "replayed" });
      add("settle", { phase: "invoke", delivery: "m-a2/1", message: "m-a2", disposition: "complete" });
      add("final-message", { message: "m-a2", state: "gone" });
    }),
  ],
  [
    "a claim that was done is claimed again on the same row, where that is allowed",
    all(
      altered("frame", { mark: "began" }, { mayRerun: true }),
      altered("final-claim", { claimant: "a" }, { token: 2 }),
      added((add) => {
        add("token", { n: 97, resource: "voucher:1", claimant: "a", token: 2, status: "held" });
        add("started", { delivery: "m-a/2", claimant: "a", resource: "voucher:1", token: 2, attempt: 2, resumed: true });
        add("token", { n: 98, resource: "voucher:1", claimant: "a", token: 2, status: "completed" });
      }),
    ),
  ],
  [
    "a row is released and granted again, and its first process tells late that it started",
    all(releases("a", "voucher:1"), added(grantsAgain), altered("started", { delivery: "m-a/1" }, { at: 190 })),
  ],
  [
    "what witnesses saw comes in another order than it was committed",
    (events) => [...events.filter(({ by }) => by === "witness").reverse(), ...events.filter(({ by }) => by !== "witness")],
  ],
  ["the answer to a write that is there was lost", altered("write", { op: "m-a/1/a", phase: "ok" }, { phase: "info" })],
  [
    "the answer to a write that is not there was lost",
    all(
      altered("write", { op: "m-a/1/a", phase: "ok" }, { phase: "info" }),
      without("wrote", { resource: "voucher:1", completes: false }),
    ),
  ],
  [
    "a process died before it could tell that it completed",
    all(
      without("write", { op: "m-a/1/b", phase: "ok" }),
      without("outcome", { delivery: "m-a/1" }),
      without("settle", { delivery: "m-a/1" }),
    ),
  ],
  ["a process died before it could tell that it started", without("started", { delivery: "m-a/1" })],
  [
    "an effect comes twice under its key",
    added((add) =>
      add("effect", {
        n: 9,
        key: "outbox voucher:1 1",
        via: "outbox",
        claimant: "a",
        resource: "voucher:1",
        token: 1,
        completes: true,
      }),
    ),
  ],
  [
    "empty, when the last row was taken",
    all(
      added((add) => add("owner", { n: 1, resource: "voucher:3", was: null, became: "c", at: 155 })),
      added(emptied),
      added((add) => {
        add("owner", { n: 2, resource: "voucher:3", was: "c", became: null, at: 170 });
      }),
    ),
  ],
  [
    "empty, while another pool has rows",
    all(
      altered("final-row", { resource: "voucher:3" }, { pool: "other" }),
      added(emptied),
      altered("sent", { message: "m-c" }, { pool: "voucher" }),
    ),
  ],
  [
    "a poison message ends as a dead letter",
    added((add) => {
      add("sent", { message: "m-p", mode: "resource", claimant: "p", isPoison: true });
      add("final-message", { message: "m-p", state: "dead-letter" });
    }),
  ],
  [
    "times of triggers are not known",
    all(
      altered("token", {}, { at: Number.NaN }),
      altered("owner", {}, { at: Number.NaN }),
      altered("wrote", {}, { at: Number.NaN }),
    ),
  ],
  [
    "a renewal of all is in time",
    added((add) => {
      add("leased", { sentAt: 9_000, ttlMs: 5_000, at: 9_001 });
      add("held", { delivery: "m-a/1", resource: "voucher:1", token: 1, at: 13_999 });
    }),
  ],
  [
    "a process is stopped between asking and telling",
    added((add) => {
      add("held", { delivery: "m-a/1", resource: "voucher:1", token: 1, askedAt: 9_999, at: 15_000 });
    }),
  ],
  ...goodLockHistories,
  ...goodWaits,
  ["taken, when somebody else has the row that was asked for", added((add) => toldTaken(add, "voucher:1"))],
  [
    "taken, when the row that was asked for had just been given away",
    added((add) => {
      add("owner", { n: 1, resource: "voucher:3", was: null, became: "d", at: 155 });
      toldTaken(add, "voucher:3");
      add("owner", { n: 2, resource: "voucher:3", was: "d", became: null, at: 158 });
    }),
  ],
  [
    "several work on a shared key under one token",
    all(
      altered("started", { delivery: "m-k2/1" }, { mode: "shared" }),
      added((add) => {
        add("delivered", { delivery: "m-k2/9", message: "m-k2" });
        add("started", {
          ...{ delivery: "m-k2/9", claimant: "k", resource: "order:k", token: 2, attempt: 1, resumed: false },
          mode: "shared",
        });
      }),
    ),
  ],
  [
    "a claim is renewed, and told so with its holder",
    all(
      altered("token", { resource: "voucher:1", status: "held" }, { holder: "h1" }),
      added((add) => add("token", { n: 12, resource: "voucher:1", claimant: "a", token: 1, status: "held", holder: "h1" })),
    ),
  ],
  [
    "a second attempt resumes",
    all(
      altered("token", { resource: "voucher:1" }, { token: 2, attempt: 2 }),
      altered("started", { delivery: "m-a/1" }, { token: 2, attempt: 2, resumed: true }),
      altered("wrote", { resource: "voucher:1" }, { token: 2 }),
      altered("write", { resource: "voucher:1" }, { token: 2 }),
      altered("leased", { resource: "voucher:1" }, { token: 2 }),
      altered("held", { resource: "voucher:1" }, { token: 2 }),
      altered("effect", { resource: "voucher:1" }, { token: 2 }),
      altered("final-claim", { resource: "voucher:1" }, { token: 2 }),
      added((add) => add("token", { n: 10, resource: "voucher:1", claimant: "a", token: 1, status: "held", attempt: 1 })),
    ),
  ],
  [
    "a message that may die is a dead letter",
    added((add) => {
      add("sent", { message: "m-z", mode: "pool", claimant: "z", isPoison: false, mayDie: true });
      add("final-message", { message: "m-z", state: "dead-letter" });
    }),
  ],
  [
    "a message that was refused is done, where the run says so",
    all(
      altered("frame", { mark: "began" }, { mayDropRefused: true, rows: 3 }),
      added((add) => add("owner", { n: 1, resource: "voucher:3", was: null, became: "d", at: 145 })),
      altered("final-row", { resource: "voucher:3" }, { owner: "d" }),
      added((add) => add("final-claim", { claimant: "d", resource: "voucher:3", token: 1, status: "held" })),
      added(emptied),
      added((add) => add("settle", { phase: "invoke", delivery: "m-c/9", message: "m-c", disposition: "complete", at: 161 })),
      altered("final-message", { message: "m-c" }, { state: "gone" }),
    ),
  ],
  [
    "contended, just after a lease was over and a new one begun",
    added((add) => {
      add("frame", { mark: "began", ttlMs: 10 });
      add("sent", { message: "m-a9", mode: "pool", claimant: "a9", isPoison: true });
      add("token", { n: 1, resource: "order:z", claimant: "a9", token: 1, status: "held", at: 140 });
      add("delivered", { delivery: "m-a9/2", message: "m-a9", at: 149 });
      add("outcome", { delivery: "m-a9/2", claimant: "a9", status: "contended", at: 170 });
      add("final-message", { message: "m-a9", state: "dead-letter" });
    }),
  ],
  ["an old write, before the newer grant", altered("wrote", { resource: "order:k", token: 1 }, { n: 20 })],
  [
    "the owner column does not say the scope",
    all(
      altered("final-claim", { claimant: "a" }, { owner: "7" }),
      altered("final-row", { resource: "voucher:1" }, { owner: "7" }),
    ),
  ],
];

function emptied(add: Add): void {
  add("sent", { message: "m-c", mode: "pool", claimant: "c", isPoison: false });
  add("delivered", { delivery: "m-c/9", message: "m-c", at: 150 });
  add("outcome", { delivery: "m-c/9", claimant: "c", status: "empty", at: 160 });
  add("final-message", { message: "m-c", state: "dead-letter" });
}

function toldTaken(add: Add, pick: string): void {
  add("sent", { message: "m-c", mode: "pool", claimant: "c", isPoison: false, pick });
  add("delivered", { delivery: "m-c/9", message: "m-c", at: 150 });
  add("outcome", { delivery: "m-c/9", claimant: "c", status: "taken", at: 160 });
  add("final-message", { message: "m-c", state: "dead-letter" });
}

/** A claim goes back to its pool after it was completed. */
function releases(claimant: string, resource: string): Change {
  return all(
    without("final-claim", { claimant }),
    added((add) => {
      add("owner", { n: 50, resource, was: claimant, became: null });
      add("token", { n: 50, resource, claimant, token: 1, status: "released" });
      add("final-claim", { claimant, resource: null, token: 1, status: "released" });
    }),
    altered("final-row", { resource }, { owner: "c" }),
  );
}

function grantsAgain(add: Add): void {
  add("sent", { message: "m-c", mode: "pool", claimant: "c", isPoison: false });
  completes((what, fields) => add(what, { ...fields, at: fields.at ?? 160 }), "m-c", "c", 1, 6);
  add("final-message", { message: "m-c", state: "completed" });
  add("final-claim", { claimant: "c", resource: "voucher:1", token: 6, status: "completed" });
}
