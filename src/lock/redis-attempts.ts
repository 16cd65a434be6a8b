import type { LockLease } from "./lock.ts";

/** What an owner wants of a key. */
interface Wish {
  isWanted: boolean;
  /** Attempts that Redis has not answered; the wish is forgotten at 0. */
  due: number;
}

/** One attempt to win a key. */
export interface Attempt {
  /** Redis has answered, or never will. */
  answered(hasWon: boolean, isLate: boolean): void;
  /** The caller is told that nothing was won. */
  failed(): void;
}

/**
 * What becomes of a win that nobody waits for any more: it is given back, unless its owner has asked for the key again meanwhile.
 */
export class Attempts {
  readonly #giveBack: (lease: LockLease) => void;
  readonly #wishes = new Map<string, Wish>();

  constructor(giveBack: (lease: LockLease) => void) {
    this.#giveBack = giveBack;
  }

  begin(lease: LockLease): Attempt {
    const id = idOf(lease);
    const wish = this.#wishes.get(id) ?? { isWanted: true, due: 0 };
    this.#wishes.set(id, wish);
    wish.isWanted = true;
    wish.due += 1;
    return {
      answered: (hasWon, isLate) => {
        wish.due -= 1;
        if (wish.due === 0) this.#wishes.delete(id);
        if (hasWon && isLate && !wish.isWanted) this.#giveBack(lease);
      },
      failed: () => {
        wish.isWanted = false;
        this.#giveBack(lease);
      },
    };
  }

  /** The owner gives the key back. */
  end(lease: LockLease): void {
    const wish = this.#wishes.get(idOf(lease));
    if (wish !== undefined) wish.isWanted = false;
  }
}

function idOf({ key, owner }: LockLease): string {
  return `${owner.length} ${owner}${key}`;
}
