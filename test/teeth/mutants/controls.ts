import type { Control, TestCheck } from "../mutant.ts";

const SAFETY: TestCheck = {
  files: ["lock-by", "outcomes", "lease", "ending", "resource"].map((name) => `test/claim/${name}.test.ts`),
  titles: "\\bS\\d ",
};
const RACES: TestCheck = {
  files: ["test/ledger/postgres.test.ts", "test/ledger/claim-races.test.ts"],
  titles: "many at once|S2 get one row|S3 resume once",
};

/** Changes that look like the bugs in the other files and break no promise: what they weaken is held by something else too. */
export const controls: readonly Control[] = [
  {
    bug: "control: no outer lock at all",
    file: "src/claim/deliver-claim.ts",
    instead: 'if (lockBy !== "row" && locks.areWanted) {',
    plant: 'if (lockBy === "neither" && locks.areWanted) {',
    reason: "the ledger alone keeps S1 to S4; the lock spares the database a crowd",
    passes: SAFETY,
  },
  {
    bug: "control: a release of the outer lock does not compare the owner",
    file: "src/lock/memory.ts",
    instead: "const wasHeld = state.holders.delete(owner);",
    plant: "const wasHeld = state.holders.delete(owner);\n      state.holders.clear();",
    reason: "two who hold one lock meet at the ledger's lease and token",
    passes: SAFETY,
  },
  {
    bug: "control: the owner column is written without asking whether it is still null",
    file: "src/ledger/claim-pieces.ts",
    instead: `\` and t.\${owner.sql} is null\``,
    plant: '""',
    reason: "the row was locked by a read that looks again at a row that has changed",
    passes: RACES,
  },
  {
    bug: "control: rows are chosen without a lock",
    file: "src/ledger/claim-rows.ts",
    instead: "limit (select count(*) from fresh)\n    for update skip locked",
    plant: "limit (select count(*) from fresh)",
    also: [
      {
        file: "src/ledger/claim-new-rows.ts",
        instead: `limit \${party.members}\n      for update skip locked`,
        plant: `limit \${party.members}`,
      },
    ],
    reason: "the unique key on the resource refuses the second claim of a row, which is asked again",
    // Not where rows are passed on and on: so many meet there that some ask too often, and are told so.
    passes: { ...RACES, titles: "many at once S1|many at once S2|S2 get one row|S3 resume once" },
  },
];
