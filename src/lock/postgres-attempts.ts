import type { LockLease } from "./lock.ts";
import type { Call } from "./postgres-calls.ts";
import { isRecoverable } from "./postgres-pool.ts";
import type { TimeLimit } from "./postgres-time-limit.ts";

/** What an owner wants of a key while statements of its attempts are under way, whether or not somebody waits for them. */
interface Wish {
  isWanted: boolean;
  /** An attempt failed for its caller, and the server may have made the key its owner's all the same. */
  isUnsure: boolean;
  underWay: number;
  undoing?: Promise<unknown>;
}

/**
 * Attempts to win a key, of which the server may make more than their callers hear. An attempt that failed leaves nothing behind once
 * its statement is over, unless the same owner asked again and won.
 */
export class Attempts {
  readonly #wishes = new Map<string, Wish>();
  readonly #undo: (lease: LockLease) => Call;

  /** `undo` releases the lease. */
  constructor(undo: (lease: LockLease) => Call) {
    this.#undo = undo;
  }

  /** Rejects as the statement does that `start` starts. */
  async make(lease: LockLease, limit: TimeLimit, start: () => Call, isWin: (rows: unknown[]) => boolean): Promise<unknown[]> {
    const id = idOf(lease);
    const wish = this.#wishes.get(id) ?? { isWanted: true, isUnsure: false, underWay: 0 };
    this.#wishes.set(id, wish);
    wish.isWanted = true;
    wish.underWay += 1;
    let call: Call | undefined;
    try {
      // Otherwise the undoing of the last attempt could come after this one, and undo it too.
      if (wish.undoing !== undefined) await limit.wait(wish.undoing);
      call = start();
      const rows = await call.answer;
      if (!isWin(rows)) wish.isWanted = false;
      return rows;
    } catch (error) {
      wish.isWanted = false;
      // What the server says failed was undone by itself.
      if (call !== undefined && !isRecoverable(error)) wish.isUnsure = true;
      throw error;
    } finally {
      void Promise.resolve(call?.over).then(() => this.#settle(id, wish, lease));
    }
  }

  /** The owner does not want the key any more. */
  giveUp(lease: LockLease): void {
    const wish = this.#wishes.get(idOf(lease));
    if (wish !== undefined) wish.isWanted = false;
  }

  #settle(id: string, wish: Wish, lease: LockLease): void {
    wish.underWay -= 1;
    if (wish.underWay === 0 && wish.isUnsure && !wish.isWanted) {
      wish.isUnsure = false;
      wish.undoing = this.#undo(lease).over.then(() => {
        delete wish.undoing;
        this.#forgetIfIdle(id, wish);
      });
    }
    this.#forgetIfIdle(id, wish);
  }

  #forgetIfIdle(id: string, wish: Wish): void {
    if (wish.underWay === 0 && wish.undoing === undefined && this.#wishes.get(id) === wish) this.#wishes.delete(id);
  }
}

function idOf({ key, owner }: LockLease): string {
  return `${owner.length} ${owner}${key}`;
}
