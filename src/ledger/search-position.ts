import type { MadeClaims } from "./claim-answers.ts";
import type { ClaimRequest } from "./ledger.ts";
import type { OpenScope } from "./open-scope.ts";

/** Batches that are not tried as new claims after one that was mostly of others; twice as many after each further one, up to the second. */
const PATIENCE_BATCHES = 10;
const MAX_PATIENCE_BATCHES = 640;

/** Positions of one pool that are kept: its least recently searched scopes begin at the start again. */
const MAX_POSITIONS = 10_000;

/**
 * Where a process found the last free row of a pool and scope, and whether its claimants are mostly new.
 * Rows that are given back behind the position are found once the search has come to the end, and by the statement that looks everywhere,
 * which is asked before anybody is told that the pool is empty.
 */
export class SearchPosition {
  /** The id, as text, behind which to begin; undefined at the start. */
  behind: string | undefined;
  #patience = 0;
  #failures = 0;

  /** Whether the next batch is worth trying as new claims. */
  takeTurn(): boolean {
    if (this.#patience === 0) return true;
    this.#patience -= 1;
    return false;
  }

  /** How the requests of a batch that was tried ended. */
  note(requests: readonly ClaimRequest[], { made, short, nextIds }: MadeClaims): void {
    const own = requests.flatMap((request) => made.get(request.holder)?.claim ?? []);
    const isShort = own[0] === undefined ? short.length > 0 : short.includes(own[0].scope);
    const next = own.find((claim) => nextIds.has(claim.resourceId));
    if (isShort) this.behind = undefined;
    else if (next !== undefined) this.behind = next.resourceId;
    if (own.length * 2 < requests.length) this.noteFailure();
    else this.#failures = 0;
  }

  /** It could not be tried at all, or was of no use. */
  noteFailure(): void {
    this.#patience = Math.min(MAX_PATIENCE_BATCHES, PATIENCE_BATCHES * 2 ** this.#failures);
    this.#failures += 1;
  }
}

/** Of one pool, by scope. */
export class SearchPositions {
  readonly #positions = new Map<string, SearchPosition>();

  of({ columns, values }: OpenScope): SearchPosition {
    const key = values.length === 0 ? "" : JSON.stringify([columns.map((column) => column.name), values]);
    const position = this.#positions.get(key) ?? new SearchPosition();
    this.#positions.delete(key);
    this.#positions.set(key, position);
    for (const oldest of this.#positions.keys()) {
      if (this.#positions.size <= MAX_POSITIONS) break;
      this.#positions.delete(oldest);
    }
    return position;
  }
}
