import { readFileSync } from "node:fs";
import { printEnvironment } from "../environment.ts";
import { GROUPS } from "./groups.ts";
import { markdownTable } from "./print.ts";
import type { KeptCase } from "./write-results.ts";

const RESULTS = new URL("../results/claims.json", import.meta.url);

/** Shown at once; the others behind a fold. */
const IN_SIGHT = ["queue", "engine", "others"];

/** The tables of the last full run, as the README shows them. Throws when there was none. */
export function readmeTables(): string {
  const { cases } = JSON.parse(readFileSync(RESULTS, "utf8")) as { readonly cases: readonly KeptCase[] };
  const [first] = cases;
  if (first === undefined) throw new Error("bench/results has no cases: npm run bench");
  const tables = GROUPS.map(({ name, title, cases: names }) => {
    const own = cases.filter((one) => names.includes(one.name)).map(({ facts: _, ...one }) => one);
    const heading = `**${title}**\n\n${markdownTable(own)}`;
    return IN_SIGHT.includes(name) ? heading : `<details><summary>${title}</summary>\n\n${markdownTable(own)}\n\n</details>`;
  });
  const run = `${first.measuredAt.slice(0, 10)}, medians of ${first.rounds} rounds; ${printEnvironment(first.environment)}.`;
  return [run, ...tables].join("\n\n");
}
