import type { Check, Mutant } from "../mutant.ts";

const TOKENS: Check = { files: ["test/ledger/postgres.test.ts", "test/ledger/token-order.test.ts"], titles: "S3|token" };
const RESOURCE_TOKENS: Check = {
  files: ["test/ledger/resource-races.test.ts", "test/ledger/resource-forgetting.test.ts"],
  titles: "S3",
};
const inMemory = (titles: string): Check => ({ files: ["test/ledger/resource-memory.test.ts"], titles });

/** Of what the database remembers. Tokens come from the row, under its lock; every other source of them is one of these bugs. */
export const mutants: readonly Mutant[] = [
  {
    bug: "a claim that is taken up again keeps its token",
    file: "src/ledger/claim-rows.ts",
    instead: "token = c.token + case when d.own then 0 else 1 end,",
    plant: "token = c.token,",
    caughtBy: TOKENS,
  },
  {
    bug: "the token of a row that was released starts again",
    file: "src/ledger/claim-rows.ts",
    instead: "coalesce(t.token, 0) + 1 as token",
    plant: "1 as token",
    caughtBy: TOKENS,
  },
  {
    bug: "the token is the maximum that was seen, as of a quorum of counters, not the one under the row's lock",
    file: "src/ledger/claim-rows.ts",
    instead: `left join \${schema}.last_released_tokens($1, array(select id from paired)) t on t.resource_id = p.id`,
    plant: `left join \${schema}.released_tokens t on t.pool = $1 and t.resource_id = p.id`,
    caughtBy: TOKENS,
  },
  {
    bug: "a named resource that is taken again keeps its token",
    file: "src/ledger/take-exclusive.ts",
    instead: "token = l.token + case when d.own then 0 else 1 end,",
    plant: "token = l.token,",
    caughtBy: RESOURCE_TOKENS,
  },
  {
    bug: "a named resource that was forgotten starts with the first token again",
    file: "src/ledger/take-exclusive.ts",
    instead: "select $1, m.key, f.token + 1, 'held',",
    plant: "select $1, m.key, 1, 'held',",
    caughtBy: RESOURCE_TOKENS,
  },
  {
    bug: "in memory: a replay has no result",
    file: "src/ledger/memory.ts",
    instead: "result: record.result };",
    plant: "result: undefined };",
    caughtBy: { files: ["test/ledger/memory.test.ts"], titles: "S5 is answered with the very result" },
  },
  {
    bug: "in memory: a key does not rest from a start",
    file: "src/ledger/memory-resources.ts",
    instead: 'if (spacing.from === "start") return nowMs + intervalMs;',
    plant: 'if (spacing.from === "start") return nowMs;',
    caughtBy: inMemory("R5 is told as too early"),
  },
  {
    bug: "in memory: an exclusive take does not wait for those who share the key",
    file: "src/ledger/memory-resources.ts",
    instead: "if (waitMs > 0) return {",
    plant: 'if (waitMs > 0 && !(mode === "exclusive" && lease.status === "shared")) return {',
    caughtBy: inMemory("R7 keep an exclusive take out"),
  },
  {
    bug: "in memory: a free row that is picked is told as taken",
    file: "src/ledger/memory-tables.ts",
    instead: "return this.#isFree(target, row) ?",
    plant: "return this.#isFree(target, row) && target.rows[0] !== row ?",
    caughtBy: { files: ["test/ledger/memory.test.ts"], titles: "C10 is taken when another claimant holds" },
  },
];
