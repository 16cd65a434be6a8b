import { claimAnswers, newClaims } from "./claim-answers.ts";
import { claimNewSql, type SearchStart } from "./claim-new-rows.ts";
import { claimSql, RESOURCE_INDEX } from "./claim-rows.ts";
import type { QueryAnswer } from "./database.ts";
import { brokenConstraint, databaseError, databaseFault } from "./database-errors.ts";
import { inHalves } from "./in-halves.ts";
import { leadsById } from "./leads-by-id.ts";
import type { ClaimAnswer, ClaimBatch, ClaimRequest } from "./ledger.ts";
import type { OpenPool } from "./open-pool.ts";
import type { OpenScope } from "./open-scope.ts";
import { refusedClaim } from "./refused-claim.ts";
import { type RepeatedText, repeatedText } from "./repeated-text.ts";
import type { Statements } from "./run-statement.ts";
import { runTransient } from "./run-transient.ts";
import { SearchPositions } from "./search-position.ts";

export interface ClaimingPorts {
  readonly server: Statements;
  /** The ledger's schema, quoted. */
  readonly schema: string;
  /** Told of each row that is free in its table though the ledger gives it to somebody. */
  readonly onInconsistent: ((found: { pool: string; resourceId: string }) => void) | undefined;
}

/** What is kept of a pool as it was opened: definitions of one table differ in more than their conditions. */
interface Kept {
  readonly texts: Map<string, RepeatedText>;
  readonly positions: SearchPositions;
}

/** Runs batches of claims. */
export class ClaimBatches {
  readonly #ports: ClaimingPorts;
  readonly #kept = new WeakMap<OpenPool, Kept>();

  constructor(ports: ClaimingPorts) {
    this.#ports = ports;
  }

  /** Answers in the order of the requests. Throws what concerns the whole batch, as `databaseError` names it. */
  async run(pool: OpenPool, scope: OpenScope, batch: ClaimBatch): Promise<readonly ClaimAnswer[]> {
    // Rows are chosen by id or not at all: a batch that mixes both is two statements.
    const picks = batch.requests.filter(isPick);
    const others = batch.requests.filter((request) => !isPick(request));
    const ask = { pool, scope, batch };
    const picked = [...(await this.#claim(ask, picks, false))];
    const made = await this.#claimNew(ask, others);
    const known = [
      ...(await this.#claim(
        ask,
        others.filter((request) => !made.has(request.holder)),
        false,
      )),
    ];
    return batch.requests.flatMap((request) => {
      if (isPick(request)) return picked.splice(0, 1);
      const answer = made.get(request.holder);
      return answer === undefined ? known.splice(0, 1) : [answer];
    });
  }

  /** Tries them as claims of claimants that have none. After: those that were made, by holder. */
  async #claimNew(ask: Ask, requests: readonly ClaimRequest[]): Promise<ReadonlyMap<string, ClaimAnswer>> {
    const { pool, scope, batch } = ask;
    const position = this.#keptOf(pool).positions.of(scope.values);
    const [first] = requests;
    if (first === undefined || !position.takeTurn()) return new Map();
    const start = !leadsById(pool, scope.columns) ? "anywhere" : position.behind === undefined ? "lowest" : "behind";
    const values = [
      pool.name,
      ...(requests.length === 1
        ? [first.claimant, first.holder, first.messageId]
        : [
            requests.map((request) => request.claimant),
            requests.map((request) => request.holder),
            requests.map((request) => request.messageId),
          ]),
      batch.ttlMs,
      ...(start === "behind" ? [position.behind] : []),
      ...scope.values,
    ];
    let answer: QueryAnswer;
    try {
      answer = await this.#ask(this.#newText(ask, start, requests.length === 1), values);
    } catch (error) {
      if (databaseFault(error) !== "member") throw databaseError(error, "claiming failed");
      // The other statement finds out whose fault it is.
      position.noteFailure();
      return new Map();
    }
    const { made, isShort, lastId } = newClaims(pool.name, answer);
    position.note({ tried: requests.length, made: made.size, isShort, lastId });
    return made;
  }

  /** Any claims: new ones, replays, resumptions. */
  async #claim(ask: Ask, requests: readonly ClaimRequest[], guarded: boolean): Promise<readonly ClaimAnswer[]> {
    const { pool, scope, batch } = ask;
    const [first] = requests;
    if (first === undefined) return [];
    const values = [
      pool.name,
      requests.map((request) => request.claimant),
      requests.map((request) => request.holder),
      requests.map((request) => request.messageId),
      batch.ttlMs,
      batch.rerun,
      requests.map((request) => request.pick),
      ...scope.values,
    ];
    let answer: QueryAnswer;
    try {
      answer = await this.#ask(this.#anyText(ask, isPick(first), guarded), values);
    } catch (error) {
      if (databaseFault(error) !== "member") throw databaseError(error, "claiming failed");
      if (!guarded && brokenConstraint(error) === RESOURCE_INDEX) {
        this.#ports.onInconsistent?.({ pool: pool.name, resourceId: conflictingResource(error) });
        return this.#claim(ask, requests, true);
      }
      if (requests.length === 1) {
        return [{ status: "refused", error: await refusedClaim(this.#ports.server, pool, scope, first, error) }];
      }
      return inHalves(requests, (half) => this.#claim(ask, half, guarded));
    }
    return claimAnswers(pool.name, requests.length, answer);
  }

  #ask(text: RepeatedText, values: unknown[]): Promise<QueryAnswer> {
    return runTransient(this.#ports.server, { ...text, values, rowMode: "array" });
  }

  #newText({ pool, scope }: Ask, start: SearchStart, isLone: boolean): RepeatedText {
    const shape = { schema: this.#ports.schema, pool, scope: scope.columns, start, isLone };
    return this.#text(pool, ["new", columnNames(scope), start, isLone], () => claimNewSql(shape));
  }

  #anyText({ pool, scope }: Ask, picks: boolean, guarded: boolean): RepeatedText {
    const shape = { schema: this.#ports.schema, pool, scope: scope.columns, picks, guarded };
    return this.#text(pool, ["any", columnNames(scope), picks, guarded], () => claimSql(shape));
  }

  #text(pool: OpenPool, shape: readonly unknown[], write: () => string): RepeatedText {
    const { texts } = this.#keptOf(pool);
    const key = JSON.stringify(shape);
    const text = texts.get(key) ?? repeatedText(write());
    texts.set(key, text);
    return text;
  }

  #keptOf(pool: OpenPool): Kept {
    const kept = this.#kept.get(pool) ?? { texts: new Map(), positions: new SearchPositions() };
    this.#kept.set(pool, kept);
    return kept;
  }
}

/** A batch, and what it is asked of. */
interface Ask {
  readonly pool: OpenPool;
  readonly scope: OpenScope;
  readonly batch: ClaimBatch;
}

function columnNames(scope: OpenScope): readonly string[] {
  return scope.columns.map((column) => column.name);
}

function isPick(request: ClaimRequest): boolean {
  return request.pick !== null;
}

/** Source: PostgreSQL's detail text, `Key (pool, resource_id)=(public.voucher_item, 12) already exists.`, in any language. */
function conflictingResource(error: unknown): string {
  const detail = typeof error === "object" && error !== null && "detail" in error ? String(error.detail) : "";
  return /=\(.*?, (.*)\)/.exec(detail)?.[1] ?? "unknown";
}
