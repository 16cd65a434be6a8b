import pg from "pg";
import { onTestFinished } from "vitest";
import { systemClock } from "../../src/clock.ts";
import { ExclaimError } from "../../src/errors.ts";
import type { Connection, Database, Query } from "../../src/ledger/database.ts";
import type { ClaimAnswer, ClaimLookup, ClaimRef, FencedTransactions, Ledger } from "../../src/ledger/ledger.ts";
import { migrate } from "../../src/ledger/migrate.ts";
import type { PoolDefinition } from "../../src/ledger/pool-definition.ts";
import { type PostgresLedgerOptions, postgresLedger } from "../../src/ledger/postgres.ts";
import { asClaimed, type Claimed, type ClaimWish, LONG_TTL_MS } from "../conformance/ledger/fixture.ts";
import { freshDatabase } from "../support/postgres.ts";

/** A database of a test file's own with the ledger's schema in it. */
export interface LedgerDatabase {
  /** Connections of the tests themselves, for tables and for looking behind the ledger's back. */
  readonly sql: pg.Pool;
  readonly url: string;
  readonly ledger: TestLedger;
  /** A ledger over other connections than `sql`, such as another process has: ended when the test is finished. */
  openLedger(connections?: pg.PoolConfig, options?: Partial<PostgresLedgerOptions>): TestLedger;
  /** The names, as an unquoted list, of the rows that a query finds. */
  column(text: string, values?: unknown[]): Promise<unknown[]>;
  drop(): Promise<void>;
}

export async function ledgerDatabase(): Promise<LedgerDatabase> {
  const { pool: sql, url, drop } = await freshDatabase();
  await migrate(sql, systemClock, "exclaim");
  return {
    sql,
    url,
    ledger: testLedger(sql),
    drop,
    openLedger(connections = {}, options = {}) {
      return testLedger(openConnections({ connectionString: url, ...connections }), options);
    },
    async column(text, values = []) {
      const { rows } = await sql.query<unknown[]>({ text, values, rowMode: "array" });
      return rows.map(([value]) => value);
    },
  };
}

/** A pool of connections that ends with the test. */
export function openConnections(config: pg.PoolConfig): pg.Pool {
  const pool = new pg.Pool(config);
  pool.on("error", () => {});
  onTestFinished(() => pool.end());
  return pool;
}

export function testLedger(database: Database, options: Partial<PostgresLedgerOptions> = {}): TestLedger {
  return new TestLedger(postgresLedger({ database, clock: systemClock, schema: "exclaim", ...options }));
}

/** Every holder is another, also of another ledger. */
let holderCount = 0;

/** Asks a ledger in the words of the tests, each time about the pool that is named. */
export class TestLedger {
  readonly ledger: Ledger & FencedTransactions & ClaimLookup;

  constructor(ledger: Ledger & FencedTransactions & ClaimLookup) {
    this.ledger = ledger;
  }

  /** One call for many claimants; one holder for all when the wish names one. */
  claimMany(pool: PoolDefinition, claimants: readonly string[], wish: ClaimWish = {}): Promise<readonly ClaimAnswer[]> {
    const { scope = {}, ttlMs = LONG_TTL_MS, rerun = false, pick = null } = wish;
    const requests = claimants.map((claimant) => {
      holderCount += 1;
      return { scope, claimant, holder: wish.holder ?? `holder-${holderCount}`, messageId: null, pick };
    });
    return this.ledger.claim({ pool, ttlMs, rerun, requests });
  }

  async claim(pool: PoolDefinition, claimant: string, wish: ClaimWish = {}): Promise<ClaimAnswer> {
    const [answer] = await this.claimMany(pool, [claimant], wish);
    if (answer === undefined) throw new Error("The ledger did not answer the claim.");
    return answer;
  }

  /** A claim that must be answered `claimed`. */
  async claimed(pool: PoolDefinition, claimant: string, wish: ClaimWish = {}): Promise<Claimed> {
    return asClaimed(await this.claim(pool, claimant, wish));
  }

  /** The claims a batch made; fails when one was answered otherwise. */
  async claims(pool: PoolDefinition, claimants: readonly string[], wish: ClaimWish = {}): Promise<readonly ClaimRef[]> {
    return (await this.claimMany(pool, claimants, wish)).map((answer) => asClaimed(answer).claim);
  }
}

/** The error a call throws; fails when it throws none, or one that is no ExclaimError. */
export async function thrownBy(call: Promise<unknown>): Promise<ExclaimError> {
  const thrown = await call.then(
    (value) => new Error(`Nothing was thrown, but answered: ${JSON.stringify(value)}`),
    (error: unknown) => error,
  );
  if (thrown instanceof ExclaimError) return thrown;
  throw thrown;
}

/** Lets every statement through and keeps its text, and the SQLSTATE of each that failed. */
export function recording(database: Database): {
  readonly database: Database;
  readonly texts: string[];
  readonly failures: string[];
} {
  const texts: string[] = [];
  const failures: string[] = [];
  const ask = async (connection: Connection, query: Query) => {
    texts.push(query.text);
    try {
      return await connection.query(query);
    } catch (error) {
      failures.push(error instanceof pg.DatabaseError ? String(error.code) : "no answer");
      throw error;
    }
  };
  return {
    texts,
    failures,
    database: {
      connect(checkedOut) {
        database.connect((error, connection) => {
          if (connection === undefined) return checkedOut(error, undefined);
          checkedOut(undefined, {
            query: (query) => ask(connection, query),
            release: (failure) => connection.release(failure),
            on: (event, listener) => connection.on(event, listener),
            removeListener: (event, listener) => connection.removeListener(event, listener),
          });
        });
      },
    },
  };
}
