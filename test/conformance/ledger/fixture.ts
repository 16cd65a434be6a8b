import { expect, onTestFinished } from "vitest";
import type {
  ClaimAnswer,
  ClaimRef,
  ClaimRequest,
  EndAnswer,
  FencedTransactions,
  Ledger,
  Row,
} from "../../../src/ledger/ledger.ts";
import type { PoolDefinition, Scope } from "../../../src/ledger/pool-definition.ts";

/**
 * What a test asks of a fresh pool table.
 * Shape of the table: `id` bigint primary key; `code` text; `user_id` of `ownerType`, null; `campaign_id` bigint, default 1;
 * `status` text, default 'free'.
 */
export interface LedgerTableSpec {
  /** The table starts with this many free rows: ids from 1, codes `CODE-1`, `CODE-2`, ... */
  readonly rows: number;
  /** The type of `user_id`. @default "bigint" */
  readonly ownerType?: "text" | "bigint";
  /** False: the definition has no owner column and relies on `where` and `set`. @default true */
  readonly owned?: boolean;
  /** Laid over the definition that `poolOf` makes. @default nothing */
  readonly definition?: Partial<PoolDefinition>;
}

/** A ledger over a table and a schema of its own, and what the suite needs to look behind its back. */
export interface LedgerFixture {
  readonly ledger: Ledger & FencedTransactions;
  /** `poolOf(table, spec)`. */
  readonly pool: PoolDefinition;
  /** The table's rows ordered by id, read through the database's own client. Numbers may be numbers, bigints or their text. */
  rows(): Promise<Row[]>;
  /** Every claim the ledger remembers, also released ones, read past it. `resourceId` of a released claim may be null or not. */
  claims(): Promise<ClaimSnapshot[]>;
  /** What committed transactions published, in any order, read past the ledger. */
  published(): Promise<{ readonly id: string; readonly topic: string; readonly payload: unknown }[]>;
  /** Lets the clock that decides expiry pass. A real database really waits. */
  elapse(ms: number): Promise<void>;
  /** Writes the row as someone who knows nothing of the ledger; null removes it. */
  writeRow(id: string, patch: Row | null): Promise<void>;
  /** Called once after each test, also a failed one. */
  close(): Promise<void>;
}

export interface ClaimSnapshot {
  readonly pool: string;
  readonly scope: string;
  readonly claimant: string;
  readonly resourceId: string | null;
  readonly token: bigint;
  readonly status: string;
  readonly attempt: number;
}

export type CreateLedger = (spec: LedgerTableSpec) => Promise<LedgerFixture>;

/** The definition a fixture serves: a test's wishes over `user_id` as owner and `id` as id, unordered. */
export function poolOf(table: string, spec: LedgerTableSpec): PoolDefinition {
  const owner = spec.owned === false ? {} : { ownerColumn: "user_id" };
  return { table, idColumn: "id", ...owner, ...spec.definition };
}

/** A lease that nothing outlives within a test, and one that is over after `LAPSE_MS`. */
export const LONG_TTL_MS = 30_000;
export const SHORT_TTL_MS = 150;
export const LAPSE_MS = 200;

/** What a test opens: the fixture, closed when the test is finished, and short ways to ask its ledger. */
export async function openLedger(create: CreateLedger, spec: LedgerTableSpec): Promise<LedgerDriver> {
  const fixture = await create(spec);
  onTestFinished(() => fixture.close());
  return new LedgerDriver(fixture);
}

/** How one claim differs from an ordinary one. */
export interface ClaimWish {
  readonly holder?: string;
  readonly scope?: Scope;
  readonly ttlMs?: number;
  readonly rerun?: boolean;
  readonly pick?: string;
}

export type Claimed = Extract<ClaimAnswer, { status: "claimed" }>;

/** Asks a fixture's ledger in the words of the tests. */
export class LedgerDriver {
  readonly fixture: LedgerFixture;
  #holderCount = 0;

  constructor(fixture: LedgerFixture) {
    this.fixture = fixture;
  }

  /** One call for many claimants, each under a holder of its own unless the wish names one. */
  claimMany(claimants: readonly string[], wish: ClaimWish = {}): Promise<readonly ClaimAnswer[]> {
    const { ttlMs = LONG_TTL_MS, rerun = false } = wish;
    const requests = claimants.map((claimant) => this.#request(claimant, wish));
    return this.fixture.ledger.claim({ pool: this.fixture.pool, ttlMs, rerun, requests });
  }

  async claim(claimant: string, wish: ClaimWish = {}): Promise<ClaimAnswer> {
    const [answer, ...more] = await this.claimMany([claimant], wish);
    expect(more).toEqual([]);
    if (answer === undefined) throw new Error("The ledger did not answer the claim.");
    return answer;
  }

  /** A claim that must be answered `claimed`. */
  async claimed(claimant: string, wish: ClaimWish = {}): Promise<Claimed> {
    return asClaimed(await this.claim(claimant, wish));
  }

  complete(claim: ClaimRef, result?: string): Promise<EndAnswer> {
    return this.#settled(() => this.fixture.ledger.complete([{ claim, result }]));
  }

  fail(claim: ClaimRef): Promise<EndAnswer> {
    return this.#settled(() => this.fixture.ledger.fail([claim]));
  }

  release(claim: ClaimRef): Promise<EndAnswer> {
    return this.#settled(() => this.fixture.ledger.release(this.fixture.pool, [claim]));
  }

  renew(claim: ClaimRef, ttlMs = LONG_TTL_MS): Promise<EndAnswer> {
    return this.#settled(() => this.fixture.ledger.renew([claim], ttlMs));
  }

  /** The owner of each row by id, as text; null where it is free. */
  async owners(): Promise<Record<string, string | null>> {
    const rows = await this.fixture.rows();
    return Object.fromEntries(rows.map((row) => [String(row.id), row.user_id === null ? null : String(row.user_id)]));
  }

  /** What the column holds in each row by id. */
  async column(name: string): Promise<Record<string, unknown>> {
    return Object.fromEntries((await this.fixture.rows()).map((row) => [String(row.id), row[name]]));
  }

  /** The claimants that have a row, by the row's id; fails when two claims name the same. */
  async holders(): Promise<Record<string, string>> {
    const live = (await this.fixture.claims()).filter((claim) => claim.status !== "released");
    const byResource = live.map((claim) => [String(claim.resourceId), claim.claimant] as const);
    expect(new Set(byResource.map(([id]) => id)).size).toBe(byResource.length);
    return Object.fromEntries(byResource);
  }

  #request(claimant: string, wish: ClaimWish): ClaimRequest {
    this.#holderCount += 1;
    const holder = wish.holder ?? `holder-${this.#holderCount}`;
    return { scope: wish.scope ?? {}, claimant, holder, messageId: `message-of-${claimant}`, pick: wish.pick ?? null };
  }

  /** Asks until no transaction is in the way: `busy` is an answer that a database may give at any time. */
  async #settled(ask: () => Promise<readonly EndAnswer[]>): Promise<EndAnswer> {
    for (let tries = 0; tries < 200; tries += 1) {
      const [answer, ...more] = await ask();
      expect(more).toEqual([]);
      if (answer === undefined) throw new Error("The ledger did not answer.");
      if (answer !== "busy") return answer;
      await this.fixture.elapse(10);
    }
    throw new Error("The ledger was busy for 200 tries.");
  }
}

export function asClaimed(answer: ClaimAnswer | undefined): Claimed {
  if (answer?.status === "claimed") return answer;
  throw new Error(`The claim was answered ${answer?.status ?? "by nothing"}.`, { cause: answer });
}

/** The code of a `refused` answer; fails for any other answer. */
export function refusalOf(answer: ClaimAnswer | undefined): string {
  if (answer?.status === "refused") return answer.error.code;
  throw new Error(`The claim was answered ${answer?.status ?? "by nothing"}.`, { cause: answer });
}
