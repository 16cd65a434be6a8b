import type { Clock } from "../clock.ts";
import { ExclaimError } from "../errors.ts";
import { UNKNOWN_WAIT_MS } from "./claim-answers.ts";
import type {
  ClaimAnswer,
  ClaimBatch,
  ClaimLookup,
  ClaimRef,
  ClaimRequest,
  Completion,
  EndAnswer,
  FencedTransactions,
  FoundClaim,
  Ledger,
  Row,
  StoredResult,
  Transaction,
} from "./ledger.ts";
import { MemoryOutbox, type PublishedMessage } from "./memory-outbox.ts";
import { type ColumnTypes, isNull, MemoryTables, refusal, type Target } from "./memory-tables.ts";
import type { PoolDefinition, Scope } from "./pool-definition.ts";

export interface MemoryLedgerOptions {
  /** Decides when a lease is over. Only `now()` is called. */
  readonly clock: Clock;
  /** The user's tables by the name a pool definition gives them. Rows are changed in place. */
  readonly tables: Readonly<Record<string, Row[]>>;
  /**
   * By table and column, how values compare: by their text, or as whole numbers of 64 bits, for which "07" and 7 are the same.
   * @default text for every column
   */
  readonly columnTypes?: ColumnTypes;
  /** Where transactions publish; shared with `memoryResources` it keeps one order. @default one of its own */
  readonly outbox?: MemoryOutbox;
}

/** One claim as the ledger remembers it. */
export interface ClaimRecord {
  readonly pool: string;
  readonly scope: string;
  readonly claimant: string;
  /** Null once released. */
  readonly resourceId: string | null;
  readonly token: bigint;
  readonly status: "held" | "completed" | "failed" | "released";
  readonly attempt: number;
  readonly messageId: string | null;
  readonly result: StoredResult;
  /** By the ledger's clock. */
  readonly leasedUntilMs: number;
}

/** The ledger in memory, and what tests and simulations look at. */
export interface MemoryLedger extends Ledger, FencedTransactions, ClaimLookup {
  readonly tables: Readonly<Record<string, Row[]>>;
  /** In commit order. */
  readonly published: readonly PublishedMessage[];
  /** A snapshot of every claim, in the order in which the claimants came first. */
  claims(): readonly ClaimRecord[];
}

/**
 * The ledger for tests, simulations and programs of one process: the rules of `Ledger`, without a database.
 * Shape: `where` is equality only; the id column is `id` unless the definition names another.
 * After: every call takes effect in one synchronous step and answers on a microtask. The same calls at the same times give
 * the same answers: there are no timers and there is no chance in it.
 * Throws POOL_INVALID: the table is not there, `where` is SQL, `orderBy` is more than columns; CONFIG_INVALID from a transaction's `query`: there is no SQL here.
 */
export function memoryLedger(options: MemoryLedgerOptions): MemoryLedger {
  return new LedgerInMemory(options);
}

type MutableRecord = { -readonly [K in keyof ClaimRecord]: ClaimRecord[K] } & {
  holder: string;
  /** What the columns of `set` were before the claim. */
  before: Row;
};

class LedgerInMemory implements MemoryLedger {
  readonly tables: Readonly<Record<string, Row[]>>;
  readonly #clock: Clock;
  readonly #outbox: MemoryOutbox;
  readonly #tables: MemoryTables;
  /** By pool, scope and claimant. */
  readonly #records = new Map<string, MutableRecord>();
  /** The resources that a claim which is not released names. A row in it is never free, whatever its owner column says. */
  readonly #named = new Set<string>();
  /** The newest token of each resource that ever had one: survives the release of its claim. */
  readonly #tokens = new Map<string, bigint>();

  constructor(options: MemoryLedgerOptions) {
    this.tables = options.tables;
    this.#clock = options.clock;
    this.#outbox = options.outbox ?? new MemoryOutbox();
    this.#tables = new MemoryTables(options.tables, options.columnTypes, (table, id) => this.#named.has(keyOf(table, id)));
  }

  get published(): readonly PublishedMessage[] {
    return this.#outbox.published;
  }

  async claim(batch: ClaimBatch): Promise<readonly ClaimAnswer[]> {
    const seen = new Set<string>();
    return batch.requests.map((request) => this.#claimOne(batch, request, seen));
  }

  async complete(completions: readonly Completion[]): Promise<readonly EndAnswer[]> {
    return completions.map(({ claim, result }) => this.#change(claim, { status: "completed", result }));
  }

  async fail(claims: readonly ClaimRef[]): Promise<readonly EndAnswer[]> {
    return claims.map((claim) => this.#change(claim, { status: "failed" }));
  }

  async release(pool: PoolDefinition, claims: readonly ClaimRef[]): Promise<readonly EndAnswer[]> {
    const target = this.#tables.resolveAll(pool);
    return claims.map((claim) => this.#releaseOne(target, claim));
  }

  async renew(claims: readonly ClaimRef[], ttlMs: number): Promise<readonly EndAnswer[]> {
    const leasedUntilMs = this.#clock.now() + ttlMs;
    return claims.map((claim) => this.#change(claim, { leasedUntilMs }));
  }

  async transact<T>(
    claim: ClaimRef,
    work: (tx: Transaction) => Promise<T>,
    completion?: (value: T) => StoredResult,
  ): Promise<T> {
    this.#assertHeld(claim);
    return this.#outbox.transact(claim.token, work, (value) => {
      const changes = completion === undefined ? {} : { status: "completed", result: completion(value) };
      Object.assign(this.#assertHeld(claim), changes);
    });
  }

  async find(pool: PoolDefinition, scope: Scope, claimant: string): Promise<FoundClaim | null> {
    const target = this.#tables.resolve(pool, scope);
    if ("status" in target) return null;
    const own = this.#claimantOf(pool, claimant);
    const record = own === undefined ? undefined : this.#records.get(keyOf(pool.table, target.scope, own));
    if (record === undefined) return null;
    const { scope: inScope, token, status, messageId } = record;
    const claim = { pool: pool.table, scope: inScope, claimant: record.claimant, resourceId: record.resourceId ?? "", token };
    const leaseMs = status === "held" ? Math.max(0, record.leasedUntilMs - this.#clock.now()) : 0;
    return { claim, status, messageId, leaseMs };
  }

  claims(): readonly ClaimRecord[] {
    return Array.from(this.#records.values(), (record) => ({
      pool: record.pool,
      scope: record.scope,
      claimant: record.claimant,
      resourceId: record.resourceId,
      token: record.token,
      status: record.status,
      attempt: record.attempt,
      messageId: record.messageId,
      result: record.result,
      leasedUntilMs: record.leasedUntilMs,
    }));
  }

  /** The claimant as the owner column's type writes it; undefined when it does not fit. */
  #claimantOf({ table, ownerColumn }: PoolDefinition, claimant: string): string | undefined {
    return ownerColumn === undefined ? claimant : this.#tables.fit(table, ownerColumn, claimant);
  }

  /** Answers one request; `seen` are the claimants of those before it in the batch. */
  #claimOne(batch: ClaimBatch, request: ClaimRequest, seen: Set<string>): ClaimAnswer {
    const { table } = batch.pool;
    const claimant = this.#claimantOf(batch.pool, request.claimant);
    if (claimant === undefined) return refusal("CLAIMANT_INVALID", "The claimant must fit the owner column's type.", { table });
    const target = this.#tables.resolve(batch.pool, request.scope);
    if ("status" in target) return target;
    if (request.pick !== null && this.#tables.fit(table, target.idColumn, request.pick) === undefined) {
      return refusal("PICK_INVALID", "The picked id must fit the id column's type.", { table });
    }
    const key = keyOf(table, target.scope, claimant);
    if (seen.has(key)) return { status: "contended", retryAfterMs: UNKNOWN_WAIT_MS };
    seen.add(key);
    return this.#claimOnce(batch, target, request, claimant);
  }

  #claimOnce(batch: ClaimBatch, target: Target, request: ClaimRequest, claimant: string): ClaimAnswer {
    const { table } = target.definition;
    const record = this.#records.get(keyOf(table, target.scope, claimant));
    if (record === undefined) return this.#grant(batch, target, request, claimant);
    if (record.status === "completed" && !batch.rerun) return { status: "replayed", result: record.result };
    const isOurs = record.holder === request.holder;
    // The request comes late: what this holder acquired has been ended since.
    if (isOurs && record.status !== "held") return { status: "contended", retryAfterMs: UNKNOWN_WAIT_MS };
    if (record.status === "released") return this.#grant(batch, target, request, claimant);
    const remainingMs = record.leasedUntilMs - this.#clock.now();
    if (record.status === "held" && !isOurs && remainingMs > 0) {
      return { status: "contended", retryAfterMs: Math.max(1, Math.ceil(remainingMs)) };
    }
    const row = this.#tables.rowById(target, record.resourceId);
    if (row === undefined || !this.#tables.isOwner(target, row, claimant)) {
      const message = "The claimed row was removed or its owner was changed: put it back, or release the claim.";
      return refusal("ROW_CHANGED", message, { claimant, table });
    }
    if (!isOurs) this.#startAttempt(record);
    return this.#hold(batch, request, record, row);
  }

  /** Gives a claimant that has no row a free one. */
  #grant(batch: ClaimBatch, target: Target, request: ClaimRequest, claimant: string): ClaimAnswer {
    const found = request.pick === null ? this.#tables.firstFree(target) : this.#tables.picked(target, request.pick);
    if ("status" in found) return found;
    const row = found.free;
    const { table: pool, ownerColumn, set = {} } = target.definition;
    const before: Row = Object.fromEntries(Object.keys(set).map((column) => [column, row[column]]));
    if (ownerColumn !== undefined) row[ownerColumn] = this.#tables.value(pool, ownerColumn, claimant);
    Object.assign(row, set);
    const identity = { pool, scope: target.scope, claimant, resourceId: this.#tables.idOf(target, row), before };
    const lease = { status: "held", messageId: null, result: undefined, leasedUntilMs: 0, holder: request.holder } as const;
    const record: MutableRecord = { ...identity, ...lease, token: 0n, attempt: 0 };
    this.#records.set(keyOf(pool, record.scope, claimant), record);
    this.#named.add(keyOf(pool, identity.resourceId));
    this.#startAttempt(record);
    return this.#hold(batch, request, record, row);
  }

  #startAttempt(record: MutableRecord): void {
    const key = keyOf(record.pool, String(record.resourceId));
    record.token = (this.#tokens.get(key) ?? 0n) + 1n;
    record.attempt += 1;
    this.#tokens.set(key, record.token);
  }

  #hold(batch: ClaimBatch, request: ClaimRequest, record: MutableRecord, row: Row): ClaimAnswer {
    const { holder, messageId } = request;
    const leasedUntilMs = this.#clock.now() + batch.ttlMs;
    Object.assign(record, { status: "held", holder, messageId, result: undefined, leasedUntilMs });
    const { pool, scope, claimant, token, attempt } = record;
    const claim = { pool, scope, claimant, resourceId: String(record.resourceId), token };
    return { status: "claimed", claim, row: { ...row }, attempt, resumed: attempt > 1 };
  }

  /** Applies `changes` to a claim that is held under this very token; done also when they ended it before. */
  #change(claim: ClaimRef, changes: Partial<MutableRecord>): EndAnswer {
    const record = this.#newest(claim);
    if (record?.status === "held") Object.assign(record, changes);
    else if (record === undefined || record.status !== changes.status) return "lost";
    return "done";
  }

  #releaseOne(target: Target, claim: ClaimRef): EndAnswer {
    const record = this.#records.get(keyOf(claim.pool, claim.scope, claim.claimant));
    if (record?.status === "released" && record.token === claim.token) return "done";
    const newest = this.#newest(claim);
    if (newest?.status !== "held" && newest?.status !== "failed") return "lost";
    const row = this.#tables.rowById(target, claim.resourceId);
    const { ownerColumn } = target.definition;
    // A row that another writer gave away since is theirs: only the claim ends.
    if (row !== undefined && (isNull(row, ownerColumn) || this.#tables.isOwner(target, row, claim.claimant))) {
      Object.assign(row, newest.before);
      if (ownerColumn !== undefined) row[ownerColumn] = null;
    }
    this.#named.delete(keyOf(claim.pool, claim.resourceId));
    newest.status = "released";
    newest.resourceId = null;
    return "done";
  }

  /** The claim, if this is its newest token. Tokens count per resource, so an equal token of another row is another claim. */
  #newest(claim: ClaimRef): MutableRecord | undefined {
    const record = this.#records.get(keyOf(claim.pool, claim.scope, claim.claimant));
    return record?.token === claim.token && record.resourceId === claim.resourceId ? record : undefined;
  }

  #assertHeld(claim: ClaimRef): MutableRecord {
    const record = this.#newest(claim);
    if (record?.status === "held") return record;
    throw new ExclaimError("FENCED", "A newer token exists or the claim has ended: nothing was written. Stop working on it.", {
      claimant: claim.claimant,
      pool: claim.pool,
    });
  }
}

/** Parts cannot run into each other, whatever they contain. */
function keyOf(...parts: string[]): string {
  return JSON.stringify(parts);
}
