import { type Action, type BrokerName, type Cell, cellsOf, type LockName } from "./failpoint.ts";
import { randomOf } from "./random-of.ts";

/** Of which cells a deck is: the same facts, the same deck. */
export interface DeckOf {
  readonly seed: number;
  readonly broker: BrokerName;
  readonly lock: LockName;
  /** Those to choose from; empty: all. */
  readonly actions: readonly Action[];
}

/**
 * The cells of a broker and a lock in the order in which a run plays them, without end: next is always the one that was played least
 * for its weight, and none a second time before every other of its action.
 */
export class CellDeck {
  readonly #dealt: Cell[] = [];
  readonly #rest: { readonly cell: Cell; readonly stepEvery: number; dueAt: number }[];

  constructor({ seed, broker, lock, actions }: DeckOf) {
    const random = randomOf(seed, "deck", broker, lock);
    const cells = cellsOf(broker, lock).filter(({ action }) => actions.length === 0 || actions.includes(action));
    this.#rest = cells.map(({ point, action, weight }) => {
      const stepEvery = 1 / weight;
      return { cell: { point, action }, stepEvery, dueAt: random.fraction() * stepEvery };
    });
  }

  /** The cell at a place, from 0. Undefined where nothing can be played. */
  at(place: number): Cell | undefined {
    while (this.#dealt.length <= place) {
      const [first, ...others] = this.#rest;
      if (first === undefined) return undefined;
      const next = others.reduce((least, other) => (other.dueAt < least.dueAt ? other : least), first);
      next.dueAt += next.stepEvery;
      this.#dealt.push(next.cell);
    }
    return this.#dealt[place];
  }
}

const decks = new Map<string, CellDeck>();

/** The deck of those facts, made once. */
export function deckOf(facts: DeckOf): CellDeck {
  const { seed, broker, lock, actions } = facts;
  const name = [seed, broker, lock, ...actions].join("/");
  const deck = decks.get(name) ?? new CellDeck(facts);
  decks.set(name, deck);
  return deck;
}
