import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import type { Database, Query } from "../../src/ledger/database.ts";
import type { PoolDefinition } from "../../src/ledger/pool-definition.ts";
import { type LedgerDatabase, ledgerDatabase, openConnections, testLedger } from "./ledger-database.ts";

/** What a claim reads is counted, not timed: a plan that grows with the claimed rows shows on any machine. */

const ROWS = 30_000;
const BATCH = 50;

let database: LedgerDatabase;
let tables = 0;

beforeAll(async () => {
  database = await ledgerDatabase();
});

afterAll(() => database.drop());

const SHAPES = [
  { title: "a plain table", partitioned: false, scoped: false },
  { title: "a table partitioned eight ways", partitioned: true, scoped: false },
  { title: "a scope of a table", partitioned: false, scoped: true },
];

describe("a batch of claims on new rows", () => {
  // Planted: every search from anywhere: 7,655 rows of the partitioned table were read. Along the ids, but each time from the lowest:
  // 10,200 rows of the scope.
  for (const shape of SHAPES) {
    it(`reads as many rows of ${shape.title} as it claims, however many were claimed before and are still visible to others`, async () => {
      const pool = await createTable(shape);
      const [ledger, lastClaim] = recordingClaims();
      const wish = shape.scoped ? { scope: { campaign_id: 1 } } : {};
      const claimMany = (first: number, count: number) =>
        ledger.claimMany(
          pool,
          Array.from({ length: count }, (_, index) => String(first + index)),
          wish,
        );
      await holdSnapshot();
      await claimMany(1, BATCH);
      for (let first = 1_001; first <= 11_000; first += 200) await claimMany(first, 200);

      const answers = await claimMany(20_001, BATCH);
      const read = await costOf(lastClaim());

      expect(answers.map(({ status }) => status)).toEqual(Array(BATCH).fill("claimed"));
      // Those it locks, those that it claimed a moment ago and is explained over once more, and those it writes.
      expect(read.pool).toBeLessThanOrEqual(4 * BATCH);
      // Of dead rows only the pages tell: a claim's look-ups by id, and an index or nine of them entered once.
      expect(read.pages).toBeLessThanOrEqual(8 * BATCH);
      expect(read.wholeReads).toEqual([]);
    });
  }
});

async function createTable(shape: { partitioned: boolean; scoped: boolean }): Promise<PoolDefinition> {
  tables += 1;
  const table = `plans_${tables}`;
  await database.sql.query(
    `create table ${table} (id bigint primary key, code text, campaign_id int, user_id bigint)
     ${shape.partitioned ? "partition by hash (id)" : "with (autovacuum_enabled = false)"}`,
  );
  for (let part = 0; shape.partitioned && part < 8; part += 1) {
    await database.sql.query(
      `create table ${table}_${part} partition of ${table} for values with (modulus 8, remainder ${part})`,
    );
  }
  await database.sql.query(`
    create index on ${table} (${shape.scoped ? "campaign_id, " : ""}id) where user_id is null;
    insert into ${table} select i, 'CODE-' || i, 1 from generate_series(1, ${ROWS}) i;
    analyze ${table}`);
  return { table, ownerColumn: "user_id" };
}

/** A transaction that keeps every row version which is current now. */
async function holdSnapshot(): Promise<void> {
  const client = await database.sql.connect();
  onTestFinished(async () => {
    await client.query("rollback");
    client.release();
  });
  await client.query("begin isolation level repeatable read");
  await client.query("select 1");
}

/** A ledger, and the claim statement that it sent last. */
function recordingClaims(): [ReturnType<typeof testLedger>, () => Query] {
  const pool = openConnections({ connectionString: database.url });
  let last: Query | undefined;
  const recording: Database = {
    connect(checkedOut) {
      pool.connect((error, connection) => {
        if (connection === undefined) return checkedOut(error, undefined);
        checkedOut(undefined, {
          query(query) {
            if (query.text.includes('"exclaim request" as materialized')) last = query;
            return connection.query(query as { text: string });
          },
          release: (failure) => connection.release(failure),
          on: (event, listener) => connection.on(event, listener),
          removeListener: (event, listener) => connection.removeListener(event, listener),
        });
      });
    },
  };
  const lastClaim = (): Query => {
    if (last === undefined) throw new Error("no claim was sent");
    return last;
  };
  return [testLedger(recording), lastClaim];
}

/** Runs the statement once more, for other claimants, with the plan that connections keep, and undoes it. */
async function costOf({ text, values = [] }: Query): Promise<{ pool: number; pages: number; wholeReads: readonly string[] }> {
  const client = await database.sql.connect();
  try {
    await client.query("begin");
    await client.query("set local plan_cache_mode = force_generic_plan");
    await client.query(`prepare claim as ${text}`);
    const [name, , holders, messageIds, ttlMs, ...more] = values;
    const others = Array.from({ length: BATCH }, (_, index) => String(50_001 + index));
    const literals = [name, others, holders, messageIds, ttlMs, ...more].map(literal).join(", ");
    const { rows } = await client.query(`explain (analyze, buffers, format json) execute claim(${literals})`);
    const scans = scansOf(rows);
    const ofPool = scans.filter(({ table }) => table.startsWith("plans_"));
    return {
      pool: sum(ofPool.map(({ read }) => read)),
      pages: sum(ofPool.map(({ pages }) => pages)),
      wholeReads: scans.filter(({ isWhole, table }) => isWhole && table === "claims").map(({ table }) => table),
    };
  } finally {
    await client.query("rollback");
    await client.query("deallocate all");
    client.release();
  }
}

function literal(value: unknown): string {
  if (Array.isArray(value)) return `'{${value.map((item) => (item === null ? "NULL" : JSON.stringify(item))).join(",")}}'`;
  return typeof value === "number" ? String(value) : `'${String(value)}'`;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

interface Scan {
  readonly table: string;
  readonly read: number;
  readonly pages: number;
  readonly isWhole: boolean;
}

function scansOf(plan: unknown): Scan[] {
  if (Array.isArray(plan)) return plan.flatMap(scansOf);
  if (typeof plan !== "object" || plan === null) return [];
  const node = plan as Record<string, unknown>;
  const below = Object.values(node).flatMap(scansOf);
  if (typeof node["Relation Name"] !== "string" || !String(node["Node Type"]).includes("Scan")) return below;
  const perLoop = Number(node["Actual Rows"]) + Number(node["Rows Removed by Filter"] ?? 0);
  const read = perLoop * Number(node["Actual Loops"]);
  const pages = Number(node["Shared Hit Blocks"]) + Number(node["Shared Read Blocks"]);
  return [...below, { table: node["Relation Name"], read, pages, isWhole: node["Node Type"] === "Seq Scan" }];
}
