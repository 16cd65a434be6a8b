import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { readmeTables } from "../bench/claims/readme-tables.ts";
import { createExclaim, DEFAULT_DRAIN_MS, DEFAULT_SCHEMA, DEFAULT_TTL_MS, type Exclaim } from "../src/claim/create-exclaim.ts";
import type { Pool } from "../src/claim/pool.ts";
import { DEFAULT_MAX_DEFERRALS } from "../src/settle/decide.ts";
import { capabilityTable, listedBackends } from "./lock/capability-table.ts";
import { type FreshDatabase, freshDatabase } from "./support/postgres.ts";
import { ROOT, sourceFiles } from "./support/source-files.ts";

const README = readFileSync(join(ROOT, "README.md"), "utf8");

describe("the README's SQL", () => {
  let database: FreshDatabase;
  let exclaim: Exclaim;
  let vouchers: Pool;

  beforeEach(async () => {
    database = await freshDatabase();
    await database.pool.query("create table voucher_item (id bigint primary key, code text, user_id bigint)");
    await database.pool.query("insert into voucher_item (id, code) values (1, 'A'), (2, 'B')");
    exclaim = createExclaim({ database: database.pool });
    await exclaim.migrate();
    vouchers = exclaim.pool({ table: "voucher_item", ownerColumn: "user_id", orderBy: "id" });
  });

  afterEach(async () => {
    await exclaim.close();
    await database.drop();
  });

  it("gives a completed row back, whose next claim continues above its token", async () => {
    await vouchers.claim({ claimant: "7" }, async () => "served");

    await database.pool.query(sqlUnder("### Giving a row back by hand"));
    const next = await vouchers.claim({ claimant: "8" }, async (claim) => [claim.key, String(claim.token)]);

    expect(next).toEqual({ status: "completed", result: ["1", "2"] });
  });

  it("adopts the owners a table has already", async () => {
    await database.pool.query("update voucher_item set user_id = 7 where id = 1");

    await database.pool.query(sqlUnder("### Adopting a table that has owners already"));
    const again = await vouchers.claim({ claimant: "7" }, async () => "ran");
    const other = await vouchers.claim({ claimant: "8" }, async (claim) => claim.key);

    expect([again, other]).toEqual([
      { status: "replayed", result: undefined },
      { status: "completed", result: "2" },
    ]);
  });

  it("forgets the keys of resources that are idle, and lets one that comes back start above", async () => {
    await exclaim.resource("order").claim({ key: "42" }, async () => {});
    await database.pool.query(
      "update exclaim.leases set taken_at = taken_at - interval '91 days', ended_at = ended_at - interval '91 days'",
    );

    const forget = /`(select exclaim\.forget_leases\([^`]*\))`/.exec(README)?.[1] ?? "";
    await database.pool.query(forget);
    const { rows } = await database.pool.query("select key from exclaim.leases");
    const next = await exclaim.resource("order").claim({ key: "42" }, async (claim) => String(claim.token));

    expect(rows).toEqual([]);
    expect(next).toEqual({ status: "completed", result: "2" });
  });

  it("makes an index on what is free", async () => {
    await database.pool.query(sqlUnder("## Install"));

    const { rows } = await database.pool.query("select indexdef from pg_indexes where indexdef like '%user_id IS NULL%'");
    expect(rows).toHaveLength(1);
  });
});

describe("the README's defaults", () => {
  it("are the code's", () => {
    expect(row("`schema`")).toContain(`"${DEFAULT_SCHEMA}"`);
    expect(row("`ttlMs`")).toContain(grouped(DEFAULT_TTL_MS));
    expect(row("`maxDeferrals`")).toContain(grouped(DEFAULT_MAX_DEFERRALS));
    expect(README).toContain(`exclaim.close({ drainMs: ${grouped(DEFAULT_DRAIN_MS)} })`);
  });
});

describe("the README's table of locks", () => {
  it("says what the back-ends say of themselves (npm run readme writes it)", () => {
    expect(README).toContain(`<!-- lock table -->\n\n${capabilityTable()}\n\n<!-- end of lock table -->`);
  });

  it("has every back-end there is", () => {
    const all = sourceFiles("src/lock").flatMap(({ path, text }) =>
      [...text.matchAll(/^export function (\w+)\([^;]*?\): LockBackend \{/gm)].map(([, name]) => `${path} ${name}`),
    );

    expect([...new Set(listedBackends())].sort()).toEqual(all.sort());
  });
});

describe("the README's tables of what claims cost", () => {
  it("are those of the last full run (npm run bench, npm run readme)", () => {
    expect(README).toContain(`<!-- claims tables -->\n\n${readmeTables()}\n\n<!-- end of claims tables -->`);
  });
});

/** The SQL block below a heading. */
function sqlUnder(heading: string): string {
  const block = new RegExp(`${heading}\\n[\\s\\S]*?\`\`\`sql\\n([\\s\\S]*?)\`\`\``).exec(README)?.[1];
  if (block === undefined) throw new Error(`There is no SQL under "${heading}".`);
  return block;
}

/** The line of the options table whose first cell is `option`. */
function row(option: string): string | undefined {
  return README.split("\n").find((line) => line.startsWith(`| ${option} |`));
}

function grouped(value: number): string {
  return value.toString().replace(/\B(?=(\d{3})+$)/g, "_");
}
