import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { systemClock } from "../../src/clock.ts";
import { rowKeyOf } from "../../src/ledger/import-message-id.ts";
import { memoryImports } from "../../src/ledger/memory-imports.ts";
import { postgresImports } from "../../src/ledger/postgres-imports.ts";
import { type EveryImports, ID, invalid, outcome, refused, rowsOf, START } from "../conformance/imports/fixture.ts";
import { type LedgerDatabase, ledgerDatabase } from "./ledger-database.ts";

let database: LedgerDatabase;

beforeAll(async () => {
  database = await ledgerDatabase();
});

afterAll(() => database.drop());

/** The source: its line n has this key. The second `b` is a duplicate, and the last key is one that ids cannot hold. */
const KEYS = ["a", "b", "c", "b", "d e"];

const lines = fc.constantFrom(1, 2, 3, 4, 5);
const runsBack = fc.constantFrom(0, 0, 0, 1);
const scripts = fc.array(
  fc.oneof(
    { arbitrary: fc.record({ act: fc.constant("begin" as const) }), weight: 1 },
    {
      // Some lines of the source in order: one twice, or one that lies behind, is what a run that goes on reads again.
      arbitrary: fc.record({
        act: fc.constant("record" as const),
        runsBack,
        lines: fc.uniqueArray(lines, { maxLength: 4 }),
        invalid: fc.subarray([1, 2, 3, 4, 5], { maxLength: 1 }),
      }),
      weight: 4,
    },
    { arbitrary: fc.record({ act: fc.constant("refuse" as const), runsBack, line: lines }), weight: 2 },
    {
      arbitrary: fc.record({
        act: fc.constant("settle" as const),
        told: fc.array(
          fc.tuple(lines, fc.constantFrom("claimed", "replayed", "refused", "dead-lettered"), fc.nat({ max: 2 })),
          {
            maxLength: 4,
          },
        ),
      }),
      weight: 3,
    },
    {
      arbitrary: fc.record({
        act: fc.constant("end" as const),
        runsBack,
        status: fc.constantFrom("published", "stopped", "failed"),
        refused: fc.subarray([1, 2, 3], { maxLength: 1 }),
      }),
      weight: 1,
    },
    { arbitrary: fc.record({ act: fc.constantFrom("cancel" as const, "forget" as const) }), weight: 1 },
  ),
  { minLength: 5, maxLength: 15 },
);

type Script = typeof scripts extends fc.Arbitrary<infer Value> ? Value : never;

describe("the imports of both ledgers under any sequence of calls", () => {
  it("F7 F8 S5 are answered alike, remembered alike, and add up", async () => {
    await fc.assert(
      fc.asyncProperty(scripts, async (script) => {
        await database.sql.query("truncate exclaim.imports, exclaim.import_rows, exclaim.import_rejects");
        const server = postgresImports({ database: database.sql, clock: systemClock, schema: "exclaim" });

        const stored = await play(server, script);
        const inMemory = await play(memoryImports({ now: () => new Date(0) }), script);

        expect(stored).toEqual(inMemory);
      }),
      { numRuns: 25 },
    );
  });
});

/** Every answer, and what is told of the import after each step. */
async function play(imports: EveryImports, script: Script): Promise<unknown[]> {
  const runs: bigint[] = [];
  const told: unknown[] = [];
  const runOf = (back: number): bigint => runs.at(-1 - back) ?? 1n;
  for (const step of [{ act: "begin" as const }, ...script]) {
    if (step.act === "begin") {
      const begun = await imports.begin(START);
      runs.push(begun.run);
      told.push(begun);
    } else told.push(await take(imports, step, runOf));
    const status = await imports.get(ID);
    if (status === null) continue;
    const { rows, pending, claimed, replayed, refused, deadLettered, rejected, duplicated } = status;
    const report = (await rowsOf(imports)).map(({ settledAt, ...row }) => ({ ...row, isSettled: settledAt !== undefined }));
    expect(pending + claimed + replayed + refused + deadLettered + rejected + duplicated).toBe(rows);
    expect(new Set(report.map(({ line }) => line)).size).toBe(rows);
    told.push({ ...status, createdAt: 0, updatedAt: 0, publishedAt: status.publishedAt !== undefined }, report);
  }
  return told;
}

function take(imports: EveryImports, step: Exclude<Script[number], { act: "begin" }>, runOf: (back: number) => bigint) {
  const keyOf = (line: number): string => KEYS[line - 1] ?? "";
  const base = { id: ID, position: 0 };
  switch (step.act) {
    case "record": {
      const valid = step.lines.filter((line) => !step.invalid.includes(line));
      const rows = valid.map((line) => ({
        rowKey: rowKeyOf(keyOf(line)),
        key: keyOf(line).includes(" ") ? keyOf(line) : null,
        line,
      }));
      // A row that is found invalid names its key where it has one.
      const rejects = step.invalid.map((line) => ({ ...invalid(line), key: keyOf(line) }));
      return imports.record({ ...base, run: runOf(step.runsBack), rows, rejects });
    }
    case "refuse":
      return imports.record({ ...base, run: runOf(step.runsBack), rows: [], rejects: [refused(keyOf(step.line), step.line)] });
    case "settle":
      return imports.settle(
        step.told.map(([line, state, row]) => outcome(rowKeyOf(keyOf(line)), { state, resourceId: String(row), code: state })),
      );
    case "end": {
      const rejects = step.refused.map((line) => refused(keyOf(line), line));
      return imports.end({ ...base, run: runOf(step.runsBack), status: step.status, reason: step.status, rejects });
    }
    default:
      return imports[step.act](ID);
  }
}
