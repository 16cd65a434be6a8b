import type { Check, Mutant } from "../mutant.ts";

const at = (file: string, titles: string): Check => ({ files: [`test/claim/${file}.test.ts`], titles });

/** Of the order of things: lock, claim, handler, completion, release. */
export const mutants: readonly Mutant[] = [
  {
    bug: "settled before commit: the outcome is completed before the completion is",
    file: "src/claim/run-handler.ts",
    instead:
      'if (claim.state !== "completed") await claim.completeWith(returned);\n    return { status: "completed", result: claim.result as T };',
    plant:
      'if (claim.state !== "completed") claim.completeWith(returned).catch(() => {});\n    return { status: "completed", result: returned };',
    caughtBy: at("outcomes", "S5 commits nothing when its result is no JSON"),
  },
  {
    bug: "a claim that came too late starts its handler",
    file: "src/claim/run-handler.ts",
    instead: "lease.assertHeld();\n    const returned",
    plant: "const returned",
    caughtBy: at("lease", "never starts a handler when the answer came too late"),
  },
  {
    bug: "a transaction commits though the deadline passed inside it",
    file: "src/claim/held-claim.ts",
    instead: "const value = await work(tx);\n    this.#ports.lease.assertTrusted();",
    plant: "const value = await work(tx);",
    caughtBy: at("lease", "S4 is not started to write when its deadline passes"),
  },
  {
    bug: "what a failed handler left running may go on",
    file: "src/claim/held-claim.ts",
    instead: 'this.#state = "ended";\n    this.#ports.lease.cancel(reason);',
    plant: "",
    caughtBy: at("ending", "S4 leaves nothing that may go on"),
  },
  {
    bug: "a lost claim does not abort its handler",
    file: "src/lease/lease.ts",
    instead: "this.cancel(this.#lost);\n",
    plant: "",
    caughtBy: at("lease", "aborts its handler before the ledger gives the row away"),
  },
  {
    bug: "a claim keeps being renewed after maxHoldMs",
    file: "src/lease/lease.ts",
    instead: "terms.maxHoldMs === undefined ?",
    plant: "terms.maxHoldMs !== Number.NaN ?",
    caughtBy: at("lease", "is aborted, not renewed, after maxHoldMs"),
  },
  {
    bug: "contention is an error",
    file: "src/claim/deliver-claim.ts",
    instead: 'if (slot !== "held") return { status: "contended", retryAfterMs: slot.retryAfterMs };',
    plant: 'if (slot !== "held") throw new Error("the slot is locked");',
    caughtBy: at("lock-by", "keeps a second delivery of a claimant away"),
  },
  {
    bug: "the lock is not given back when the handler throws",
    file: "src/claim/deliver-claim.ts",
    instead:
      "return await deliverUnder(locks, parts, pool, request, handler);\n  } finally {\n    if (locks.areHeld) await locks.release();\n  }",
    plant:
      'const outcome = await deliverUnder(locks, parts, pool, request, handler);\n    if (outcome.status === "completed") await locks.release();\n    return outcome;\n  } finally {\n  }',
    caughtBy: at("lease", "is released whatever came of the handler"),
  },
  {
    bug: "a lock's release that fails is told to nobody",
    file: "src/lease/lock-calls.ts",
    instead: 'events.emit("lock:releaseFailed", { key: lease.key, error });\n',
    plant: "",
    caughtBy: at("lease", "is released whatever came of the handler"),
  },
  {
    bug: "the outer lock has no scope in its key",
    file: "src/claim/lock-key.ts",
    instead: `\${parts.join("&")}`,
    plant: `\${parts.slice(parts.length).length}`,
    caughtBy: at("lock-by", "escapes its parts"),
  },
  {
    bug: "a message whose claimant is missing is let through, all as one claimant",
    file: "src/claim/check-request.ts",
    instead: "if (isTextOfNothing(claimant)) {",
    plant: "if (claimant === undefined) {",
    caughtBy: { files: ["test/queue/bullmq-conformance.test.ts"], titles: "claimant is the text of a missing value" },
  },
  {
    bug: "a message that names no claimant claims for nobody in particular",
    file: "src/queue/claim-request.ts",
    instead: 'claimant: answer("claimant", () => claimant(message), isText),',
    plant: 'claimant: answer("claimant", () => claimant(message) || "nobody", isText),',
    caughtBy: { files: ["test/queue/bullmq-conformance.test.ts"], titles: "when its claimant function" },
  },
  {
    bug: "onGiveUp gives away a row whose claim was completed",
    file: "src/claim/give-up-claim.ts",
    instead: 'if (claim.status === "failed" || claim.status === "held") await',
    plant: "await",
    caughtBy: at("outcomes", "leaves a completed claim alone"),
  },
  {
    bug: "a failure says nothing of its attempt being the last: the row is kept for ever",
    file: "src/claim/end-pool-claim.ts",
    instead: 'const isGivenUp = verdict === "final" || request.lastAttempt === true;',
    plant: 'const isGivenUp = verdict === "final";',
    caughtBy: at("outcomes", "goes by onGiveUp on the last attempt"),
  },
  {
    bug: "close() does not wait for what runs",
    file: "src/lease/holding.ts",
    instead: "await this.running.drain(drainMs, closed());\n",
    plant: "",
    caughtBy: at("close", "lets running handlers finish"),
  },
  {
    bug: "close() leaves the leases of handlers that never end to run out",
    file: "src/lease/holding.ts",
    instead: "await Promise.all(left.map((work) => work.abandon()));",
    plant: "",
    caughtBy: at("close", "ends the lease of a handler that never ends"),
  },
  {
    bug: "close() takes new claims",
    file: "src/lease/holding.ts",
    instead: "this.#closing.abort(closed());\n",
    plant: "",
    caughtBy: at("close", "lets running handlers finish"),
  },
];
