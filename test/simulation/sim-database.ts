import { ExclaimError } from "../../src/errors.ts";
import type { ClaimAnswer, ClaimBatch, ClaimRef, EndAnswer, Row, StoredResult } from "../../src/ledger/ledger.ts";
import { type MemoryLedger, memoryLedger } from "../../src/ledger/memory.ts";
import { type MemoryDeadLetters, memoryDeadLetters } from "../../src/ledger/memory-dead-letters.ts";
import { MemoryOutbox } from "../../src/ledger/memory-outbox.ts";
import { type MemoryResources, memoryResources } from "../../src/ledger/memory-resources.ts";
import type { ResourceRef } from "../../src/ledger/resource-ledger.ts";
import type { Chronicle } from "./chronicle.ts";
import type { Plan } from "./plan.ts";
import type { Scheduler } from "./scheduler.ts";
import type { SimProcess } from "./sim-process.ts";
import { claimantName, POOL_NAME, Witness } from "./witness.ts";

/** When a row is locked by a transaction, nobody knows for how long. */
const LOCKED_WAIT_MS = 100;

export type TransactionSubject = { readonly claim: ClaimRef } | { readonly lease: ResourceRef };

/** What a transaction publishes: an effect on behalf of its claimant. */
export interface OutboxEffect {
  readonly claimant: string;
  readonly resource: string;
  readonly token: number;
}

/** A transaction on the server. `isOpen` until it commits, is rolled back or its connection ends. */
export interface ServerTransaction {
  readonly subject: TransactionSubject;
  readonly of: SimProcess;
  status: "open" | "committed" | "aborted";
  writes: number;
  readonly messages: string[];
  completion: { readonly result: StoredResult } | undefined;
}

export interface SimDatabasePorts {
  readonly plan: Plan;
  readonly scheduler: Scheduler;
  readonly chronicle: Chronicle;
  readonly plantedLedger?: ((ledger: MemoryLedger) => MemoryLedger) | undefined;
  /** A message of a transaction that committed. */
  readonly onPublished: (id: string, effect: OutboxEffect) => void;
}

/** The database: tables in memory, transactions that hold the row of their claim, and the witness of every commit. */
export class SimDatabase {
  readonly rows: Row[];
  readonly ledger: MemoryLedger;
  readonly resources: MemoryResources;
  readonly deadLetters: MemoryDeadLetters;
  readonly witness: Witness;
  readonly #scheduler: Scheduler;
  readonly #onPublished: (id: string, effect: OutboxEffect) => void;
  /** Open ones, by what they hold. */
  readonly #open = new Map<string, Set<ServerTransaction>>();
  readonly #idleMs: number;
  readonly #locksRows: boolean;
  readonly #outbox = new MemoryOutbox();
  #waiting: (() => void)[] = [];

  constructor({ plan, scheduler, chronicle, plantedLedger = (ledger) => ledger, onPublished }: SimDatabasePorts) {
    const clock = { now: () => scheduler.nowMs, after: () => () => {} };
    const outbox = this.#outbox;
    this.#locksRows = plan.locksRows;
    this.rows = rowsOf(plan);
    this.ledger = plantedLedger(memoryLedger({ clock, outbox, tables: { [POOL_NAME]: this.rows } }));
    this.resources = memoryResources({ clock, outbox });
    this.deadLetters = memoryDeadLetters({ clock });
    this.witness = new Witness(chronicle, scheduler, this);
    this.#scheduler = scheduler;
    this.#onPublished = onPublished;
    this.#idleMs = plan.ttlMs * 2;
  }

  /** A claimant whose row a transaction holds is passed over, as SKIP LOCKED does. */
  async claim(batch: ClaimBatch): Promise<readonly ClaimAnswer[]> {
    const isLocked = batch.requests.map(({ claimant, scope }) => this.#isHeld(claimKey(claimant, scopeText(scope))));
    if (!isLocked.includes(true)) return this.#claimed(batch);
    const requests = batch.requests.filter((_, index) => !isLocked[index]);
    const answers = [...(await this.#claimed({ ...batch, requests }))];
    return isLocked.map((locked) => {
      const answer = locked ? undefined : answers.shift();
      return answer ?? { status: "contended", retryAfterMs: LOCKED_WAIT_MS };
    });
  }

  /** Of claimants that have no claim, those for whom there is a row. */
  async claimNew(batch: ClaimBatch): Promise<readonly (ClaimAnswer | undefined)[]> {
    const known = new Set(this.ledger.claims().map(({ claimant, scope }) => claimKey(claimant, scope)));
    const answers: (ClaimAnswer | undefined)[] = [];
    for (const request of batch.requests) {
      const key = claimKey(request.claimant, scopeText(request.scope));
      const isNew = request.pick === null && !known.has(key);
      known.add(key);
      const [answer] = isNew ? await this.#claimed({ ...batch, requests: [request] }) : [];
      answers.push(answer?.status === "claimed" ? answer : undefined);
    }
    return answers;
  }

  /** Ends claims: one that a transaction holds is busy, or with `wait` ended once that is over. */
  async endClaims(
    claims: readonly ClaimRef[],
    wait: boolean,
    end: (index: number) => Promise<readonly EndAnswer[]>,
  ): Promise<readonly EndAnswer[]> {
    const answers: EndAnswer[] = [];
    for (const [index, { claimant, scope }] of claims.entries()) {
      const key = claimKey(claimant, scope);
      while (wait && this.#isHeld(key)) await new Promise<void>((resolve) => this.#waiting.push(resolve));
      if (this.#isHeld(key)) answers.push("busy");
      else answers.push(...(await this.#seen(end(index))));
    }
    return answers;
  }

  async #claimed(batch: ClaimBatch): Promise<readonly ClaimAnswer[]> {
    const answers = await this.ledger.claim(batch);
    answers.forEach((answer, index) => {
      if (answer.status === "claimed") this.witness.granted(answer.claim, batch.requests[index]?.holder ?? "");
    });
    if (answers.some(isChange)) this.witness.lookAtClaims();
    return answers;
  }

  /** Claims that live on: each renewal shows. */
  async renew(claims: readonly ClaimRef[], ttlMs: number): Promise<readonly EndAnswer[]> {
    return this.#seen(this.ledger.renew(claims, ttlMs));
  }

  /** Nothing else happens between a call's effect and its answer, so that the witness may look when it knows whether there was one. */
  async #seen(changed: Promise<readonly EndAnswer[]>): Promise<readonly EndAnswer[]> {
    const answers = await changed;
    if (answers.some(isChange)) this.witness.lookAtClaims();
    return answers;
  }

  /** Throws FENCED when the token is not the newest. */
  async begin(subject: TransactionSubject, of: SimProcess): Promise<ServerTransaction> {
    await this.#underFence(subject, async () => {});
    const transaction: ServerTransaction = { subject, of, status: "open", writes: 0, messages: [], completion: undefined };
    const key = keyOf(subject);
    const open = this.#open.get(key) ?? new Set();
    this.#open.set(key, open.add(transaction));
    this.#scheduler.at(this.#scheduler.nowMs + this.#idleMs, () => this.abort(transaction));
    return transaction;
  }

  /** Throws FENCED, and undoes all of it, when the fence does not stand any more. */
  async commit(transaction: ServerTransaction): Promise<void> {
    if (transaction.status !== "open") throw new ExclaimError("DATABASE_UNREACHABLE", "the connection has ended");
    const { subject, completion, messages } = transaction;
    const effect = effectOf(subject);
    const { published } = this.#outbox;
    const before = published.length;
    try {
      await this.#underFence(
        subject,
        async (publish) => {
          for (const topic of messages) await publish(topic);
        },
        completion,
      );
    } catch (error) {
      this.#end(transaction, "aborted");
      throw error;
    } finally {
      for (const { id } of published.slice(before)) this.#onPublished(id, effect);
    }
    this.#end(transaction, "committed");
    const token = "claim" in subject ? subject.claim.token : subject.lease.token;
    for (let count = 0; count < transaction.writes; count += 1) {
      this.witness.wrote(effect.resource, effect.claimant, token, completion !== undefined);
    }
    if ("claim" in subject) this.witness.lookAtClaims();
    else this.witness.lookAtLeases();
  }

  abort(transaction: ServerTransaction): void {
    if (transaction.status === "open") this.#end(transaction, "aborted");
  }

  /** The connections of a process ended. */
  abortAll(of: SimProcess): void {
    for (const open of [...this.#open.values()]) {
      for (const transaction of open) if (transaction.of === of) this.abort(transaction);
    }
  }

  dump(): void {
    this.witness.dump();
    for (const { messageId } of this.deadLetters.letters()) if (messageId !== null) this.witness.keptLetter(messageId);
  }

  #underFence(
    subject: TransactionSubject,
    work: (publish: (topic: string) => Promise<string>) => Promise<void>,
    completion?: { readonly result: StoredResult },
  ): Promise<void> {
    if ("claim" in subject) {
      return this.ledger.transact(
        subject.claim,
        (tx) => work((topic) => tx.publish(topic, null)),
        completion === undefined ? undefined : () => completion.result,
      );
    }
    const ends = completion !== undefined;
    return this.resources.transact(subject.lease, (tx) => work((topic) => tx.publish(topic, null)), { ends });
  }

  #end(transaction: ServerTransaction, status: "committed" | "aborted"): void {
    transaction.status = status;
    const key = keyOf(transaction.subject);
    const open = this.#open.get(key);
    open?.delete(transaction);
    if (open?.size === 0) this.#open.delete(key);
    for (const go of this.#waiting.splice(0)) go();
  }

  #isHeld(key: string): boolean {
    return this.#locksRows && this.#open.size > 0 && this.#open.has(key);
  }
}

function isChange(answer: ClaimAnswer | EndAnswer): boolean {
  return typeof answer === "string" ? answer === "done" : "status" in answer && answer.status !== "contended";
}

export function effectOf(subject: TransactionSubject): OutboxEffect {
  if ("lease" in subject) {
    const { resource, key, token } = subject.lease;
    return { claimant: key, resource: `${resource}:${key}`, token: Number(token) };
  }
  const { claimant, scope, resourceId, token } = subject.claim;
  return { claimant: claimantName(claimant, scope), resource: `${POOL_NAME}:${resourceId}`, token: Number(token) };
}

function rowsOf({ rows }: Plan): Row[] {
  let id = 0;
  return Object.entries(rows).flatMap(([scope, count]) =>
    Array.from({ length: count }, (): Row => {
      id += 1;
      return scope === "" ? { id, user_id: null } : { id, user_id: null, campaign: scope };
    }),
  );
}

function keyOf(subject: TransactionSubject): string {
  if ("claim" in subject) return claimKey(subject.claim.claimant, subject.claim.scope);
  return `lease ${subject.lease.key}`;
}

function claimKey(claimant: string, scope: string): string {
  return `claim ${claimant} ${scope}`;
}

/** As the memory ledger writes a scope of one column. */
function scopeText(scope: Readonly<Record<string, unknown>>): string {
  const columns = Object.entries(scope);
  return columns.length === 0 ? "" : JSON.stringify(columns);
}
