import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { endLeasesSql } from "../../src/ledger/end-leases.ts";
import { renewLeasesSql } from "../../src/ledger/renew-leases.ts";
import { takeExclusiveSql } from "../../src/ledger/take-exclusive.ts";
import { takeSharedSql } from "../../src/ledger/take-shared.ts";
import { type ResourceDatabase, resourceDatabase } from "./resource-database.ts";

/** As many leases as make reading all of them slow, and none of them known to the planner. */
const LEASES = 300_000;
const SHARED = 50_000;
const BATCH = 100;

let database: ResourceDatabase;

beforeAll(async () => {
  database = await resourceDatabase();
  await database.sql.query(`
    alter table exclaim.leases set (autovacuum_enabled = false);
    alter table exclaim.lease_sharers set (autovacuum_enabled = false);
    insert into exclaim.leases (resource, key, token, status, holder, leased_until, attempt, taken_at)
      select 'order', 'held ' || i, 1, 'held', 'a', clock_timestamp(), 1, clock_timestamp() from generate_series(1, ${LEASES}) i;
    insert into exclaim.leases (resource, key, token, status, attempt, taken_at)
      select 'order', 'shared ' || i, 1, 'shared', 0, clock_timestamp() from generate_series(1, ${SHARED}) i;
    insert into exclaim.lease_sharers (resource, key, holder, token, leased_until, taken_at)
      select 'order', 'shared ' || i, 'a', 1, clock_timestamp(), clock_timestamp() from generate_series(1, ${SHARED}) i`);
});

afterAll(() => database.drop());

/** One value for each request of a batch. */
function many<Value>(value: (index: number) => Value): Value[] {
  return Array.from({ length: BATCH }, (_, index) => value(index));
}

const holders = many((index) => (index % 2 === 0 ? "a" : `b ${index}`));
const messages = many(() => null);

// Planted: `exists (...)` where one sharer is looked for: the planner read them all into a hash. ONE_BY_ONE left out.
for (const knowledge of ["the planner knows nothing of", "are analyzed"]) {
  describe(`a batch of 100 among many leases that ${knowledge}`, () => {
    beforeAll(async () => {
      if (knowledge === "are analyzed") await database.sql.query("analyze exclaim.leases, exclaim.lease_sharers");
    });

    for (const kind of ["held", "shared", "new"]) {
      const keys = many((index) => `${kind} ${index + 1}`);
      const refs = [many(() => "order"), keys, holders, many(() => "1")];
      const taking = ["order", keys, holders, messages, 30_000];
      const statements: [what: string, text: string, values: unknown[]][] = [
        ["exclusive take", takeExclusiveSql("exclaim"), [...taking, many(() => "end"), many(() => 10)]],
        ["shared take", takeSharedSql("exclaim"), taking],
        ["renewal", renewLeasesSql("exclaim"), [...refs, 30_000]],
        ["end", endLeasesSql("exclaim", false), [...refs, many(() => true)]],
      ];
      for (const [what, text, values] of statements) {
        it(`reads none but its own: ${what}, ${kind} keys`, async () => {
          const { rows } = await database.sql.query(`explain (format json) ${text}`, values);

          expect(wholeReads(rows)).toEqual([]);
          expect(JSON.stringify(rows)).toContain("Index Scan");
        });
      }
    }
  });
}

/** The tables of ours that a plan reads from beginning to end. */
function wholeReads(plan: unknown): string[] {
  if (Array.isArray(plan)) return plan.flatMap(wholeReads);
  if (typeof plan !== "object" || plan === null) return [];
  const node = plan as Record<string, unknown>;
  const own = node["Node Type"] === "Seq Scan" ? [String(node["Relation Name"])] : [];
  return [...own, ...Object.values(node).flatMap(wholeReads)];
}
