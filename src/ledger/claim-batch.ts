import { claimAnswers, newClaims } from "./claim-answers.ts";
import { claimNewSql, type SearchStart } from "./claim-new-rows.ts";
import { claimSql, RESOURCE_INDEX } from "./claim-rows.ts";
import type { QueryAnswer } from "./database.ts";
import { brokenConstraint, databaseError, databaseFault } from "./database-errors.ts";
import { inHalves } from "./in-halves.ts";
import { leadsById } from "./leads-by-id.ts";
import type { ClaimAnswer, ClaimBatch, ClaimRequest } from "./ledger.ts";
import type { OpenPool } from "./open-pool.ts";
import { type OpenScope, openScope } from "./open-scope.ts";
import type { Column } from "./read-table.ts";
import { refusedClaim } from "./refused-claim.ts";
import { type RepeatedText, repeatedText } from "./repeated-text.ts";
import type { Statements } from "./run-statement.ts";
import { runTransient } from "./run-transient.ts";
import { type SearchPosition, SearchPositions } from "./search-position.ts";

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

/** A batch, and what it is asked of. */
interface Ask {
  readonly pool: OpenPool;
  readonly batch: ClaimBatch;
}

/** The requests of one scope. */
interface Party {
  readonly scope: OpenScope;
  readonly position: SearchPosition;
  readonly requests: ClaimRequest[];
}

/** Runs batches of claims. */
export class ClaimBatches {
  readonly #ports: ClaimingPorts;
  readonly #kept = new WeakMap<OpenPool, Kept>();

  constructor(ports: ClaimingPorts) {
    this.#ports = ports;
  }

  /** `NewClaims.claimNew`. Throws as `databaseError` names it. */
  async runNew(pool: OpenPool, batch: ClaimBatch): Promise<readonly (ClaimAnswer | undefined)[]> {
    const ask = { pool, batch };
    const answers = await this.#claimNew(ask, this.#parties(ask));
    return batch.requests.map((request) => answers.get(request));
  }

  /** Answers in the order of the requests. Throws what concerns the whole batch, as `databaseError` names it. */
  async run(pool: OpenPool, batch: ClaimBatch): Promise<readonly ClaimAnswer[]> {
    const ask = { pool, batch };
    const parties = this.#parties(ask);
    const answers = new Map(batch.triedAsNew ? [] : await this.#claimNew(ask, parties));
    for (const party of parties) {
      const left = party.requests.filter((request) => !answers.has(request));
      // Rows are chosen by id or not at all: a batch that mixes both is two statements.
      for (const requests of [left.filter(isPick), left.filter((request) => !isPick(request))]) {
        const found = await this.#claim(ask, party.scope, requests, false);
        requests.forEach((request, index) => {
          const answer = found[index];
          if (answer !== undefined) answers.set(request, answer);
        });
      }
    }
    return batch.requests.flatMap((request) => answers.get(request) ?? []);
  }

  /** Tries what may be new, in a statement for each way to begin the search. After: those that were made. */
  async #claimNew(ask: Ask, parties: readonly Party[]): Promise<ReadonlyMap<ClaimRequest, ClaimAnswer>> {
    const answers = new Map<ClaimRequest, ClaimAnswer>();
    for (const [start, tried] of this.#startsOf(ask.pool, parties)) {
      for (const [request, answer] of await this.#tryAsNew(ask, start, tried)) answers.set(request, answer);
    }
    return answers;
  }

  #parties({ pool, batch }: Ask): readonly Party[] {
    const { positions } = this.#keptOf(pool);
    const parties = new Map<SearchPosition, Party>();
    for (const request of batch.requests) {
      const scope = openScope(batch.pool, pool, request.scope);
      const position = positions.of(scope);
      const party = parties.get(position) ?? { scope, position, requests: [] };
      parties.set(position, party);
      party.requests.push(request);
    }
    return [...parties.values()];
  }

  /** The parties that are tried as new claims, by where their search begins: each is a statement of its own. */
  #startsOf(pool: OpenPool, parties: readonly Party[]): ReadonlyMap<SearchStart, readonly Party[]> {
    const starts = new Map<SearchStart, Party[]>();
    for (const { scope, position, requests } of parties) {
      const unpicked = requests.filter((request) => !isPick(request));
      if (unpicked.length === 0 || !position.takeTurn()) continue;
      const start = position.behind === undefined || !leadsById(pool, scope.columns) ? "anywhere" : "behind";
      starts.set(start, [...(starts.get(start) ?? []), { scope, position, requests: unpicked }]);
    }
    return starts;
  }

  async #tryAsNew(ask: Ask, start: SearchStart, parties: readonly Party[]): Promise<ReadonlyMap<ClaimRequest, ClaimAnswer>> {
    const { pool, batch } = ask;
    const members = parties.flatMap((party) => party.requests.map((request) => ({ request, ...party })));
    const columns = parties[0]?.scope.columns ?? [];
    const lists = [
      members.map(({ request }) => request.claimant),
      members.map(({ request }) => request.holder),
      members.map(({ request }) => request.messageId),
      ...(start === "behind" ? [members.map(({ position }) => position.behind)] : []),
      ...columns.map((_, index) => members.map(({ scope }) => scope.values[index])),
    ];
    const isLone = members.length === 1;
    const [claimants, holders, messageIds, ...more] = isLone ? lists.map(([only]) => only) : lists;
    const values = [pool.name, claimants, holders, messageIds, batch.ttlMs, ...more];
    const text = this.#text(pool, ["new", ...columnNames(columns), start, isLone], () =>
      claimNewSql({ schema: this.#ports.schema, pool, scope: columns, start, isLone }),
    );
    let answer: QueryAnswer;
    try {
      answer = await this.#ask(text, values);
    } catch (error) {
      // Whatever it is, the other statement finds out whose fault it is, scope by scope.
      for (const { position } of parties) position.noteFailure();
      if (databaseFault(error) === "unreachable") throw databaseError(error, "claiming failed");
      return new Map();
    }
    const claims = newClaims(pool.name, answer);
    for (const { position, requests } of parties) position.note(requests, claims);
    return new Map(
      members.flatMap(({ request }) => {
        const made = claims.made.get(request.holder);
        return made === undefined ? [] : [[request, made]];
      }),
    );
  }

  /** Any claims: new ones, replays, resumptions. */
  async #claim(
    ask: Ask,
    scope: OpenScope,
    requests: readonly ClaimRequest[],
    guarded: boolean,
  ): Promise<readonly ClaimAnswer[]> {
    const { pool, batch } = ask;
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
    const picks = isPick(first);
    const text = this.#text(pool, ["any", ...columnNames(scope.columns), picks, guarded], () =>
      claimSql({ schema: this.#ports.schema, pool, scope: scope.columns, picks, guarded }),
    );
    let answer: QueryAnswer;
    try {
      answer = await this.#ask(text, values);
    } catch (error) {
      if (databaseFault(error) !== "member") throw databaseError(error, "claiming failed");
      if (!guarded && brokenConstraint(error) === RESOURCE_INDEX) {
        this.#ports.onInconsistent?.({ pool: pool.name, resourceId: conflictingResource(error, pool.name) });
        return this.#claim(ask, scope, requests, true);
      }
      if (requests.length === 1) {
        return [{ status: "refused", error: await refusedClaim(this.#ports.server, pool, scope, first, error) }];
      }
      return inHalves(requests, (half) => this.#claim(ask, scope, half, guarded));
    }
    return claimAnswers(pool.name, requests.length, answer);
  }

  #ask(text: RepeatedText, values: unknown[]): Promise<QueryAnswer> {
    return runTransient(this.#ports.server, { ...text, values, rowMode: "array" });
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

function columnNames(columns: readonly Column[]): readonly string[] {
  return columns.map((column) => column.name);
}

function isPick(request: ClaimRequest): boolean {
  return request.pick !== null;
}

/** Source: PostgreSQL's detail text, `Key (pool, resource_id)=(public.voucher_item, 12) already exists.`, in any language. */
function conflictingResource(error: unknown, pool: string): string {
  const detail = typeof error === "object" && error !== null && "detail" in error ? String(error.detail) : "";
  const before = `=(${pool}, `;
  const [start, end] = [detail.indexOf(before), detail.lastIndexOf(")")];
  return start === -1 || end === -1 ? "unknown" : detail.slice(start + before.length, end);
}
