/** Batches that are not tried as new claims after one that was mostly of others. */
const PATIENCE_BATCHES = 10;

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

  /** Whether the next batch is worth trying as new claims. */
  takeTurn(): boolean {
    if (this.#patience === 0) return true;
    this.#patience -= 1;
    return false;
  }

  /** How a batch that was tried ended: how many claims were made, whether there were too few rows, and the highest id that was found. */
  note(ended: {
    readonly tried: number;
    readonly made: number;
    readonly isShort: boolean;
    readonly lastId: string | undefined;
  }): void {
    if (ended.isShort) this.behind = undefined;
    else if (ended.lastId !== undefined) this.behind = ended.lastId;
    if (ended.made * 2 < ended.tried) this.#patience = PATIENCE_BATCHES;
  }

  /** It could not be tried at all. */
  noteFailure(): void {
    this.#patience = PATIENCE_BATCHES;
  }
}

/** Of one pool, by scope. */
export class SearchPositions {
  readonly #positions = new Map<string, SearchPosition>();

  of(scope: readonly string[]): SearchPosition {
    const key = JSON.stringify(scope);
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
