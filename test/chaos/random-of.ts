/** Numbers that a seed decides: the same seed, the same numbers, whatever the platform. */
export interface SeededRandom {
  /** In [0, 1). */
  fraction(): number;
  /** A whole number, at least `least` and at most `most`. */
  between(least: number, most: number): number;
  /** One of them. Throws when there is none. */
  oneOf<T>(items: readonly T[]): T;
  /** All of them in another order. */
  shuffled<T>(items: readonly T[]): T[];
}

/** Shape: any parts that name what is to be decided, e.g. `randomOf(seed, "episode", 3)`. */
export function randomOf(...parts: readonly (string | number)[]): SeededRandom {
  let state = hashOf(parts.join("/"));
  const fraction = (): number => {
    // A counter with a constant that visits every state, its bits mixed twice.
    state = (state + 0x9e3779b9) >>> 0;
    let mixed = state;
    mixed = Math.imul(mixed ^ (mixed >>> 16), 0x21f0aaad);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
    return ((mixed ^ (mixed >>> 15)) >>> 0) / 2 ** 32;
  };
  const between = (least: number, most: number): number => least + Math.floor(fraction() * (most - least + 1));
  return {
    fraction,
    between,
    oneOf: <T>(items: readonly T[]): T => {
      const item = items[between(0, items.length - 1)];
      if (item === undefined) throw new Error("there is nothing to choose from");
      return item;
    },
    shuffled: <T>(items: readonly T[]): T[] =>
      items
        .map((item) => ({ item, place: fraction() }))
        .sort((one, other) => one.place - other.place)
        .map(({ item }) => item),
  };
}

/** FNV-1a over the text's UTF-16 units. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index += 1) hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  return hash >>> 0;
}
