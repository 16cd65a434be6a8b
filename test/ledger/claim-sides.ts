import type pg from "pg";
import { systemClock } from "../../src/clock.ts";
import type {
  ClaimAnswer,
  ClaimBatch,
  ClaimLookup,
  FencedTransactions,
  Ledger,
  Row,
  Transaction,
} from "../../src/ledger/ledger.ts";
import { memoryLedger } from "../../src/ledger/memory.ts";
import type { PoolDefinition } from "../../src/ledger/pool-definition.ts";
import { postgresLedger } from "../../src/ledger/postgres.ts";
import type { ForeignWrite } from "./claim-script.ts";

/** One of the two ledgers that play a script, with the table behind it and its clock. */
export interface ClaimSide {
  readonly ledger: Ledger & FencedTransactions & ClaimLookup;
  readonly pool: PoolDefinition;
  /** Asks for claims, with `asNew` of the quick way first where there is one. */
  claim(batch: ClaimBatch, asNew: boolean): Promise<readonly ClaimAnswer[]>;
  /** Lets time pass for leases. */
  elapse(ms: number): Promise<void>;
  /** Writes the row behind the ledger's back. */
  write(id: string, write: ForeignWrite): Promise<void>;
  /** Writes a number inside a fenced transaction, where the ledger has a database to write to. */
  effect(tx: Transaction, value: number): Promise<void>;
  /** All that is remembered, every value as text. */
  state(): Promise<SideState>;
}

export interface SideState {
  readonly rows: readonly unknown[];
  readonly claims: readonly RememberedClaim[];
  readonly published: readonly unknown[];
  /** What effects are there; undefined where the ledger has no database. */
  readonly effects: readonly number[] | undefined;
}

export interface RememberedClaim {
  readonly scope: string;
  readonly claimant: string;
  readonly resourceId: string | null;
  readonly token: string;
  readonly status: string;
  readonly attempt: number;
  readonly messageId: string | null;
  readonly result: string | null;
}

const FIRST_ROWS: readonly Row[] = [1, 2, 3, 4].map((id) => firstRow(id));

function firstRow(id: number): Row {
  return { id, user_id: null, campaign_id: 1 + (id % 2), status: "free", priority: id % 3 };
}

export function memorySide(pool: PoolDefinition): ClaimSide {
  let nowMs = 0;
  const rows = FIRST_ROWS.map((row) => ({ ...row }));
  const number = "number" as const;
  const ledger = memoryLedger({
    clock: { now: () => nowMs, after: () => () => {} },
    tables: { voucher_item: rows },
    columnTypes: { voucher_item: { id: number, user_id: number, campaign_id: number, priority: number } },
  });
  return {
    ledger,
    pool,
    claim: (batch) => ledger.claim(batch),
    elapse: async (ms) => {
      nowMs += ms;
    },
    async write(id, write) {
      const index = rows.findIndex((row) => String(row.id) === id);
      const row = rows[index];
      if (write === "add") {
        if (row === undefined) rows.push(firstRow(Number(id)));
      } else if (write === "remove") {
        if (row !== undefined) rows.splice(index, 1);
      } else if (row !== undefined) Object.assign(row, write);
    },
    effect: async () => {},
    state: async () => ({
      rows: rows.map(texts).sort(byId),
      claims: ledger.claims().map(({ pool: _pool, leasedUntilMs: _until, token, scope, result, ...claim }) => ({
        ...claim,
        scope: JSON.stringify(Object.fromEntries(scope === "" ? [] : JSON.parse(scope))),
        token: String(token),
        result: result ?? null,
      })),
      published: ledger.published.map(({ topic, payload }) => ({ topic, payload })),
      effects: undefined,
    }),
  };
}

/** Creates the tables that `postgresSide` empties for each script. */
export async function createClaimTables(sql: pg.Pool): Promise<void> {
  await sql.query(`create table voucher_item (id bigint primary key, user_id bigint, campaign_id bigint, status text, priority int);
    create table effect (value int not null)`);
}

export async function postgresSide(sql: pg.Pool, definition: PoolDefinition): Promise<ClaimSide> {
  await sql.query(`delete from exclaim.claims; delete from exclaim.released_tokens; delete from exclaim.outbox;
    delete from effect; delete from voucher_item`);
  await addRows(sql, FIRST_ROWS);
  const ledger = postgresLedger({ database: sql, clock: systemClock, schema: "exclaim" });
  const pool = { ...definition };
  return {
    ledger,
    pool,
    async claim(batch, asNew) {
      if (!asNew) return ledger.claim(batch);
      const made = await ledger.claimNew(batch);
      const left = batch.requests.filter((_, index) => made[index] === undefined);
      const others = await ledger.claim({ ...batch, triedAsNew: true, requests: left });
      return batch.requests.flatMap((request, index) => made[index] ?? others[left.indexOf(request)] ?? []);
    },
    elapse: async (ms) => {
      await sql.query(`update exclaim.claims set leased_until = leased_until - interval '${ms} ms'`);
    },
    async write(id, write) {
      if (write === "add") await addRows(sql, [firstRow(Number(id))]);
      else if (write === "remove") await sql.query("delete from voucher_item where id = $1", [id]);
      else {
        const changes = Object.keys(write).map((column, index) => `${column} = $${index + 2}`);
        await sql.query(`update voucher_item set ${changes.join(", ")} where id = $1`, [id, ...Object.values(write)]);
      }
    },
    effect: async (tx, value) => {
      await tx.query("insert into effect values ($1)", [value]);
    },
    state: () => storedState(sql),
  };
}

async function addRows(sql: pg.Pool, rows: readonly Row[]): Promise<void> {
  await sql.query(
    `insert into voucher_item (id, user_id, campaign_id, status, priority)
     select * from json_to_recordset($1) as r (id bigint, user_id bigint, campaign_id bigint, status text, priority int)
     on conflict do nothing`,
    [JSON.stringify(rows)],
  );
}

async function storedState(sql: pg.Pool): Promise<SideState> {
  const rows = await sql.query("select * from voucher_item order by id");
  const claims = await sql.query<RememberedClaim>(`select (select coalesce(jsonb_object_agg(key, value), '{}') from
      jsonb_each_text(scope::jsonb))::text as scope, claimant, resource_id as "resourceId", token::text as token, status, attempt,
      message_id as "messageId", result::text as result from exclaim.claims`);
  const published = await sql.query("select topic, payload from exclaim.outbox order by position");
  const effects = await sql.query<{ value: number }>("select value from effect order by value");
  return {
    rows: rows.rows.map(texts),
    claims: claims.rows.map((claim) => ({ ...claim, scope: JSON.stringify(JSON.parse(claim.scope)) })),
    published: published.rows,
    effects: effects.rows.map(({ value }) => value),
  };
}

/** The row with every value as text: a number of 64 bits comes as text from the one ledger and as a number from the other. */
export function texts(row: Row): Record<string, string | null> {
  return Object.fromEntries(Object.entries(row).map(([column, value]) => [column, value === null ? null : String(value)]));
}

function byId(left: Record<string, unknown>, right: Record<string, unknown>): number {
  return Number(left.id) - Number(right.id);
}
