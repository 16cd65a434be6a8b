import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Mutant } from "./mutant.ts";

export type Bug = Pick<Mutant, "bug" | "file" | "instead" | "plant" | "also">;

/**
 * The texts of the files that the bug changes, as they are with it, by their paths from the root.
 * Throws when one of its places is not found exactly once: the sources have changed, and the bug needs a new place.
 */
export function withBug(root: string, { bug, file, instead, plant, also = [] }: Bug): ReadonlyMap<string, string> {
  const texts = new Map<string, string>();
  for (const place of [{ instead, plant }, ...also]) {
    const path = "file" in place && place.file !== undefined ? place.file : file;
    const parts = (texts.get(path) ?? readFileSync(join(root, path), "utf8")).split(place.instead);
    if (parts.length !== 2) {
      const found = parts.length - 1;
      throw new Error(`${path} has ${found} places to plant "${bug}", not one: ${JSON.stringify(place.instead)}`);
    }
    texts.set(path, parts.join(place.plant));
  }
  return texts;
}

/** Plants the bug in a copy of the project. Returns the function that takes it out again. */
export function plantBug(copy: string, bug: Bug): () => void {
  const planted = withBug(copy, bug);
  const before = [...planted.keys()].map((path) => [path, readFileSync(join(copy, path), "utf8")] as const);
  for (const [path, text] of planted) writeFileSync(join(copy, path), text);
  return () => {
    for (const [path, text] of before) writeFileSync(join(copy, path), text);
  };
}
