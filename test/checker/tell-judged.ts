import type { InvariantName } from "./history.ts";

const COUNT = 13;

/** What a verdict is about, for people: `judged: I1 to I9, I11 to I13; not I10, of which nothing was seen`. */
export function tellJudged(judged: readonly InvariantName[]): string {
  const names = Array.from({ length: COUNT }, (_, index) => `I${index + 1}`);
  const isJudged = (name: string): boolean => judged.some((other) => other === name);
  const left = names.filter((name) => !isJudged(name));
  if (left.length === 0) return `judged: ${runsOf(names, isJudged)}`;
  if (left.length === names.length) return "judged: nothing, since nothing was seen of any invariant";
  return `judged: ${runsOf(names, isJudged)}; not ${runsOf(names, (name) => !isJudged(name))}, of which nothing was seen`;
}

/** The names that are meant, those in a row as `first to last`. */
function runsOf(names: readonly string[], isMeant: (name: string) => boolean): string {
  const runs: string[][] = [];
  names.forEach((name, index) => {
    if (!isMeant(name)) return;
    const before = names[index - 1];
    if (before !== undefined && isMeant(before)) runs.at(-1)?.push(name);
    else runs.push([name]);
  });
  return runs.map((run) => (run.length > 2 ? `${run[0]} to ${run.at(-1)}` : run.join(", "))).join(", ");
}
