import type { Check, Mutant } from "../mutant.ts";

const LEASES: Check = { files: ["held-lock", "late-answers", "lease-keeper"].map((name) => `test/lease/${name}.test.ts`) };
const LEASE: Check = { files: ["test/claim/lease.test.ts"] };
const SILENCE: Check = {
  files: ["test/lock/faults-holders.test.ts"],
  products: ["redlock-1"],
  titles: "falls silent for good",
};
const STALL: Check = { files: ["test/lock/faults-holders.test.ts"], products: ["redlock-1"], titles: "event loop is stalled" };
const KILLED_SERVER: Check = {
  files: ["test/lock/faults-servers.test.ts"],
  products: ["redlock-1"],
  titles: "killed: the holder",
};

/** Of how the right to work is won, kept and lost. */
export const mutants: readonly Mutant[] = [
  {
    bug: "no drift margin: the lease is trusted for all of its ttl",
    file: "src/lease/lease.ts",
    instead: "return sentAtMs + ttlMs - Math.max(DRIFT_MIN_MS, ttlMs * DRIFT_FRACTION);",
    plant: "return sentAtMs + ttlMs + 0 * Math.max(DRIFT_MIN_MS, DRIFT_FRACTION);",
    caughtBy: LEASE,
  },
  {
    bug: "the deadline counts from the reply of the acquisition, not from the request",
    file: "src/lease/lock-calls.ts",
    instead: "return { lock: { lease: attempt.lease, sentAtMs } };",
    plant: "return { lock: { lease: attempt.lease, sentAtMs: clock.now() } };",
    caughtBy: LEASES,
  },
  {
    bug: "the deadline counts from the reply of a renewal, not from the request",
    file: "src/lease/lease-keeper.ts",
    instead: 'if (renewal === "kept") lease.renewed(guard, sentAtMs);',
    plant: 'if (renewal === "kept") lease.renewed(guard, now);',
    caughtBy: LEASES,
  },
  {
    bug: "the holder is aborted only when the server says that the lease is lost",
    file: "src/lease/lease.ts",
    instead: 'else if (now >= this.#untilMs) this.lose("LEASE_LOST", "the lease ran out before it could be renewed");',
    plant: "",
    caughtBy: SILENCE,
  },
  {
    bug: "assertHeld knows what timers told it, and does not look at the clock",
    file: "src/lease/lease.ts",
    instead: "if (this.isLost()) throw this.#lost;",
    plant: "if (this.#lost !== undefined) throw this.#lost;",
    caughtBy: STALL,
  },
  {
    bug: "Date.now() instead of the monotonic clock",
    file: "src/clock.ts",
    instead: "now: () => performance.now(),",
    plant: "now: () => Date.now(),",
    caughtBy: { files: ["test/lock/faults-holders.test.ts"], products: ["redlock-1"], titles: "wall clock jumps" },
  },
  {
    bug: "a win that came too late to be of use counts",
    file: "src/lease/lock-calls.ts",
    instead: "if (attempt !== undefined && clock.now() < trustedUntilMs(sentAtMs, attempt.lease.ttlMs)) {",
    plant: "if (attempt !== undefined && clock.now() < sentAtMs + 10 * trustedUntilMs(0, attempt.lease.ttlMs)) {",
    caughtBy: LEASES,
  },
  {
    bug: "a release that throws when the server does not answer",
    file: "src/lease/lock-calls.ts",
    instead: 'events.emit("lock:releaseFailed", { key: lease.key, error });\n      return false;',
    plant: "throw error;",
    caughtBy: KILLED_SERVER,
  },
  {
    bug: "a renewal that failed is not tried again",
    file: "src/lease/lease-keeper.ts",
    instead: ": now + guard.ttlMs / RETRIES_PER_TTL;",
    plant: ": now + guard.ttlMs * RETRIES_PER_TTL;",
    caughtBy: LEASES,
  },
  {
    bug: "a renewal that is told the lease is lost goes on",
    file: "src/lease/lease-keeper.ts",
    instead: "const renewal = renewals[index];",
    plant: 'const renewal = renewals[index] === "lost" ? "kept" : renewals[index];',
    caughtBy: LEASES,
  },
  {
    bug: "a renewal that is answered after the deadline revives the lease",
    file: "src/lease/lease.ts",
    instead: "if (untilMs === undefined || this.isLost()) return;",
    plant: "if (untilMs === undefined) return;",
    caughtBy: LEASES,
  },
  {
    bug: "a release masks the error that is on its way out",
    file: "src/lease/lock-calls.ts",
    instead: 'events.emit("lock:releaseFailed", { key: lease.key, error });\n      return false;',
    plant: "throw error;",
    caughtBy: { files: ["test/lease/release.test.ts"], titles: "keeps the body's error" },
  },
  {
    bug: "the time between two renewals is longer than the ttl",
    file: "src/lease/lease-keeper.ts",
    instead: "const RENEWALS_PER_TTL = 3;",
    plant: "const RENEWALS_PER_TTL = 0.5;",
    caughtBy: { files: ["test/claim/lease.test.ts"], titles: "is renewed for as long as its handler works" },
  },
  {
    bug: "the ttl is too short: the ledger gives a claim away that its holder still trusts",
    file: "src/claim/pool-claims.ts",
    instead: "ledger.claim({ pool, rerun, ttlMs, triedAsNew, requests });",
    plant: "ledger.claim({ pool, rerun, ttlMs: ttlMs / 4, triedAsNew, requests });",
    caughtBy: { files: ["test/claim/lease.test.ts"], titles: "S1 is its holder's for as long as that one trusts it" },
  },
];
