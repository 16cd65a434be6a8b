import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ExclaimError } from "../../src/errors.ts";
import type { PoolDefinition } from "../../src/ledger/pool-definition.ts";
import { asClaimed } from "../conformance/ledger/fixture.ts";
import { type LedgerDatabase, ledgerDatabase, thrownBy } from "./ledger-database.ts";

let database: LedgerDatabase;

beforeAll(async () => {
  database = await ledgerDatabase();
});

afterAll(() => database.drop());

interface Refusal {
  readonly title: string;
  /** What makes the table, without `create table voucher_n`: the file's tables are numbered. */
  readonly table: string;
  readonly definition: Partial<PoolDefinition>;
  /** What the message says beside the table's name. */
  readonly says: readonly string[];
  readonly column?: string;
  /** What the table needs so that the same definition is taken. `%t` is the table. */
  readonly remedy: string;
}

const OWNER = { ownerColumn: "user_id" };
const ONE_ROW = "insert into %t default values";

const refusals: readonly Refusal[] = [
  {
    title: "the owner column is missing",
    table: "(id int primary key default 1)",
    definition: OWNER,
    says: ['no column "user_id" (ownerColumn)', "its columns are id"],
    column: "user_id",
    remedy: "alter table %t add user_id bigint",
  },
  {
    title: "the id column is missing",
    table: "(id int primary key default 1, user_id bigint)",
    definition: { ...OWNER, idColumn: "nr" },
    says: ['no column "nr" (idColumn)', "its columns are id, user_id"],
    column: "nr",
    remedy: "alter table %t add nr int not null default 1 unique",
  },
  {
    title: "a column of where is missing",
    table: "(id int primary key default 1, user_id bigint)",
    definition: { ...OWNER, where: { revoked: false } },
    says: ['no column "revoked" (where)'],
    column: "revoked",
    remedy: "alter table %t add revoked boolean default false",
  },
  {
    title: "a column of set is missing",
    table: "(id int primary key default 1, user_id bigint)",
    definition: { ...OWNER, set: { status: "taken" } },
    says: ['no column "status" (set)'],
    column: "status",
    remedy: "alter table %t add status text",
  },
  {
    title: "a column of orderBy is missing",
    table: "(id int primary key default 1, user_id bigint)",
    definition: { ...OWNER, orderBy: "priority desc" },
    says: ['no column "priority" (orderBy)'],
    column: "priority",
    remedy: "alter table %t add priority int",
  },
  {
    title: "the owner column is NOT NULL, so that no row can be free",
    table: "(id int primary key default 1, user_id bigint not null default 0)",
    definition: OWNER,
    says: ['owner column "user_id" is NOT NULL', 'alter column "user_id" drop not null'],
    column: "user_id",
    remedy: "alter table %t alter user_id drop default, alter user_id drop not null; update %t set user_id = null",
  },
  {
    title: "the owner column is generated",
    table: "(id int primary key default 1, user_id bigint generated always as (7) stored)",
    definition: OWNER,
    says: ['owner column "user_id" is generated', "use one that can be written"],
    column: "user_id",
    remedy: "alter table %t drop user_id; alter table %t add user_id bigint",
  },
  {
    title: "there is no primary key",
    table: "(id int default 1, user_id bigint)",
    definition: OWNER,
    says: ["has no primary key", "name a unique, not null column as idColumn"],
    remedy: "alter table %t add primary key (id)",
  },
  {
    title: "the primary key has several columns",
    table: "(campaign int default 1, seat int default 1, user_id bigint, primary key (campaign, seat))",
    definition: OWNER,
    says: ["a primary key of several columns", "as idColumn"],
    remedy: "alter table %t drop constraint %t_pkey; alter table %t add primary key (seat)",
  },
  {
    title: "the id column is one of several of the primary key, so that two rows may have the same",
    table: "(campaign int default 1, seat int default 1, user_id bigint, primary key (campaign, seat))",
    definition: { ...OWNER, idColumn: "seat" },
    says: ['id column "seat" has no unique index of its own'],
    column: "seat",
    remedy: "alter table %t add unique (seat)",
  },
  {
    title: "the id column has no unique index",
    table: "(id int default 1, user_id bigint, nr int not null default 1)",
    definition: { ...OWNER, idColumn: "nr" },
    says: ['id column "nr" has no unique index', "add one"],
    column: "nr",
    remedy: "alter table %t add unique (nr)",
  },
  {
    title: "the id column is only included in a unique index",
    table: "(id int default 1 unique, user_id bigint, nr int not null default 1); create unique index on %t (id) include (nr)",
    definition: { ...OWNER, idColumn: "nr" },
    says: ['id column "nr" has no unique index'],
    column: "nr",
    remedy: "alter table %t add unique (nr)",
  },
  {
    title: "the id column's unique index covers some rows only",
    table: "(nr int not null default 1, user_id bigint); create unique index on %t (nr) where nr > 0",
    definition: { ...OWNER, idColumn: "nr" },
    says: ['id column "nr" has no unique index of its own over all rows'],
    column: "nr",
    remedy: "create unique index on %t (nr)",
  },
  {
    title: "the id column's unique index is over an expression",
    table: "(nr int not null default 1, user_id bigint); create unique index on %t ((nr % 10))",
    definition: { ...OWNER, idColumn: "nr" },
    says: ['id column "nr" has no unique index'],
    column: "nr",
    remedy: "create unique index on %t (nr)",
  },
  {
    title: "the id column's unique constraint can be put off to the end of a transaction",
    table: "(nr int not null default 1 unique deferrable, user_id bigint)",
    definition: { ...OWNER, idColumn: "nr" },
    says: ['id column "nr" has no unique index'],
    column: "nr",
    remedy: "create unique index on %t (nr)",
  },
  {
    title: "the id column may be null",
    table: "(nr int default 1 unique, user_id bigint)",
    definition: { ...OWNER, idColumn: "nr" },
    says: ['id column "nr" may be null', "NOT NULL"],
    column: "nr",
    remedy: "alter table %t alter nr set not null",
  },
  {
    title: "set names the owner",
    table: "(id int primary key default 1, user_id bigint)",
    definition: { ...OWNER, set: { user_id: 7 } },
    says: ['"user_id" cannot be in set'],
    column: "user_id",
    remedy: "",
  },
  {
    title: "set names the id",
    table: "(id int primary key default 1, user_id bigint)",
    definition: { ...OWNER, set: { id: 7 } },
    says: ['"id" cannot be in set'],
    column: "id",
    remedy: "",
  },
  {
    title: "set names a generated column",
    table: "(id int primary key default 1, user_id bigint, twice int generated always as (id * 2) stored)",
    definition: { ...OWNER, set: { twice: 7 } },
    says: ['"twice" cannot be in set'],
    column: "twice",
    remedy: "",
  },
  {
    title: "a value of set does not fit its column",
    table: "(id int primary key default 1, user_id bigint, places int)",
    definition: { ...OWNER, set: { places: "many" } },
    says: ["set does not run", "many"],
    remedy: "",
  },
  {
    title: "where is no SQL",
    table: "(id int primary key default 1, user_id bigint)",
    definition: { ...OWNER, where: "valid until >" },
    says: ["where does not run", "syntax error"],
    remedy: "",
  },
  {
    title: "where calls a function that does not exist",
    table: "(id int primary key default 1, user_id bigint)",
    definition: { ...OWNER, where: "is_valid(id)" },
    says: ["where does not run", "is_valid"],
    remedy: "create function is_valid(int) returns boolean language sql as 'select true'",
  },
  {
    title: "where holds a value that does not fit its column",
    table: "(id int primary key default 1, user_id bigint)",
    definition: { ...OWNER, where: { id: "first" } },
    says: ["where does not run", "first"],
    remedy: "",
  },
  {
    title: "where takes a parameter",
    table: "(id int primary key default 1, user_id bigint, code text default 'A')",
    definition: { ...OWNER, where: "code = $1" },
    says: ["where does not run", "$1"],
    remedy: "",
  },
  {
    title: "there is neither an owner column nor both where and set",
    table: "(id int primary key default 1, status text default 'free')",
    definition: { where: { status: "free" } },
    says: ["without an ownerColumn needs both where and set"],
    remedy: "",
  },
  {
    title: "set leaves a claimed row free in a table without an owner column",
    table: "(id int primary key default 1, status text default 'free', note text)",
    definition: { where: { status: "free" }, set: { note: "taken" } },
    says: ["would leave a claimed row free", "let set write what makes where false"],
    remedy: "",
  },
];

describe("a pool definition that does not fit its table", () => {
  for (const [index, refusal] of refusals.entries()) {
    const table = `voucher_${index}`;

    it(`is refused with the remedy when ${refusal.title}`, async () => {
      await run(`create table %t ${refusal.table}`, table);
      await run(ONE_ROW, table);
      const pool: PoolDefinition = { table, ...refusal.definition };

      const error = await refusalOfUse(pool);

      expect(error.code).toBe("POOL_INVALID");
      for (const part of [`pool table "${table}"`, ...refusal.says]) expect(error.message).toContain(part);
      expect(error.details).toMatchObject({ table, ...(refusal.column === undefined ? {} : { column: refusal.column }) });
    });

    if (refusal.remedy !== "") {
      it(`is taken, the very same, once that is put right: ${refusal.title}`, async () => {
        const pool: PoolDefinition = { table: `${table}_right`, ...refusal.definition };
        await run(`create table %t ${refusal.table}`, pool.table);
        await run(ONE_ROW, pool.table);
        await refusalOfUse(pool);
        await run(refusal.remedy, pool.table);

        const answer = await database.ledger.claim(pool, "7");

        expect(asClaimed(answer).claim.claimant).toBe("7");
      });
    }
  }
});

async function run(text: string, table: string): Promise<void> {
  await database.sql.query(text.replaceAll("%t", table));
}

function refusalOfUse(pool: PoolDefinition): Promise<ExclaimError> {
  return thrownBy(database.ledger.claim(pool, "7"));
}
