import type { Mutant, SimulationCheck } from "../mutant.ts";

const LEDGER = "src/ledger/memory.ts";
const RESOURCES = "src/ledger/memory-resources.ts";

const simulation = (...breaks: readonly string[]): SimulationCheck => ({ sim: { seeds: 400, breaks } });

/** Of the engine and of its ledger in memory, caught by a history that the simulation makes and the checker judges. */
export const mutants: readonly Mutant[] = [
  {
    bug: "in simulation: settled before commit",
    file: "src/claim/run-handler.ts",
    instead:
      'if (claim.state !== "completed") await claim.completeWith(returned);\n    return { status: "completed", result: claim.result as T };',
    plant:
      'if (claim.state !== "completed") claim.completeWith(returned).catch(() => {});\n    return { status: "completed", result: returned };',
    caughtBy: simulation("I6", "I2"),
  },
  {
    bug: "in simulation: no fence",
    file: LEDGER,
    instead: "record?.token === claim.token &&",
    plant: "record !== undefined &&",
    caughtBy: { sim: { seeds: 2_500, breaks: ["I4"] } },
  },
  {
    bug: "in simulation: a live lease is taken over under the same token",
    file: LEDGER,
    instead: 'if (record.status === "held" && !isOurs && remainingMs > 0) {',
    plant: 'if (record.status === "held" && !isOurs && remainingMs < 0) {',
    also: [{ instead: "if (!isOurs) this.#startAttempt(record);\n", plant: "" }],
    caughtBy: simulation("I3"),
  },
  {
    bug: "in simulation: resume picks a second row",
    file: LEDGER,
    instead: 'if (record.status === "released") return this.#grant',
    plant: 'if (record.status === "released" || record.status === "failed") return this.#grant',
    caughtBy: simulation("I2"),
  },
  {
    bug: "in simulation: tokens start again when a row changes hands",
    file: LEDGER,
    instead: "record.token = (this.#tokens.get(key) ?? 0n) + 1n;",
    plant: "record.token = this.#tokens.has(key) ? 1n : 1n;",
    caughtBy: simulation("I2", "I3"),
  },
  {
    bug: "in simulation: a row that somebody has is free",
    file: LEDGER,
    instead: "if (ownerColumn !== undefined) row[ownerColumn] = this.#tables.value(pool, ownerColumn, claimant);",
    plant: "",
    also: [{ instead: "this.#named.add(keyOf(pool, identity.resourceId));\n", plant: "" }],
    caughtBy: simulation("I1"),
  },
  {
    bug: "in simulation: whoever takes a live key's lease over gets the same token",
    file: RESOURCES,
    instead: '    Object.assign(lease, { status: "held", holder, messageId, notBeforeMs, restMs });\n    lease.token += 1n;',
    plant:
      '    if (lease.status !== "held") lease.token += 1n;\n    Object.assign(lease, { status: "held", holder, messageId, notBeforeMs, restMs });',
    caughtBy: simulation("I3"),
  },
  {
    bug: "in simulation: a claim whose lease ran out is resumed under the same token",
    file: LEDGER,
    instead: "if (!isOurs) this.#startAttempt(record);\n",
    plant: 'if (!isOurs && record.status !== "held") this.#startAttempt(record);\n',
    caughtBy: simulation("I3"),
  },
  {
    bug: "in simulation: attempts are not counted",
    file: LEDGER,
    instead: "record.attempt += 1;",
    plant: "record.attempt = Math.max(1, record.attempt);",
    caughtBy: simulation("I2"),
  },
  {
    bug: "in simulation: leases last twenty times as long as they should",
    file: LEDGER,
    instead: "    const leasedUntilMs = this.#clock.now() + batch.ttlMs;",
    plant: "    const leasedUntilMs = this.#clock.now() + batch.ttlMs * 20;",
    caughtBy: simulation("I13"),
  },
  {
    bug: "in simulation: rows are kept where they should go back, and go back where they should be kept",
    file: "src/claim/end-pool-claim.ts",
    instead: 'onFailure) === "keep";',
    plant: 'onFailure) !== "keep";',
    caughtBy: simulation("I2"),
  },
  {
    bug: "in simulation: a shutdown gives the rows back of those who will come for them",
    file: "src/claim/end-pool-claim.ts",
    instead: "if (MESSAGE_RETURNS.some((code) => isExclaimError(error, code))) return true;",
    plant: "if (MESSAGE_RETURNS.some((code) => isExclaimError(error, code))) return false;",
    caughtBy: simulation("I2"),
  },
  {
    bug: "in simulation: the reason of a dead letter is not kept",
    file: "src/claim/note-dead-letter.ts",
    instead: "await parts.deadLetterBatches.submit(letter);\n",
    plant: "",
    caughtBy: simulation("I6"),
  },
  {
    bug: "in simulation: a replay is answered with nothing",
    file: LEDGER,
    instead: "result: record.result };",
    plant: "result: undefined };",
    caughtBy: simulation("I2"),
  },
  {
    bug: "in simulation: a handler is given another row",
    file: "src/claim/deliver-claim.ts",
    instead: "row: answer.row as R,",
    plant: "row: {} as R,",
    caughtBy: simulation("I2"),
  },
  {
    bug: "in simulation: nobody looks after the outer locks of a claim",
    file: "src/claim/deliver-claim.ts",
    instead: "sentAtMs }, ...locks.guards()],",
    plant: "sentAtMs }],",
    caughtBy: simulation("I9"),
  },
  {
    bug: "in simulation: no outer lock is taken where one is asked for",
    file: "src/claim/deliver-claim.ts",
    instead: 'if (lockBy !== "row" && locks.areWanted) {',
    plant: 'if (lockBy === "neither" && locks.areWanted) {',
    caughtBy: simulation("I9"),
  },
  {
    bug: "in simulation: a handler is started under a lease that is over",
    file: "src/claim/run-handler.ts",
    instead: "    lease.assertHeld();\n",
    plant: "",
    caughtBy: simulation("I9"),
  },
  {
    bug: "a claim that was taken over while its row was found locked fails its message",
    file: "src/claim/deliver-claim.ts",
    instead: 'if (!isExclaimError(error, "FENCED")) throw error;',
    plant: "throw error;",
    caughtBy: { files: ["test/claim/lock-by.test.ts"] },
  },
];
