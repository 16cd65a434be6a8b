/**
 * What an exclusive claim costs: beside the same written by hand, beside a worker that does nothing, and beside what the database can
 * do at all; in queues, without one, next to other systems, as tables grow and as hours pass.
 *
 *     npm run bench -- [--only case-or-group,…] [--rounds 5] [--json] [--smoke]
 *
 * A program that people run to see numbers side by side; no test asserts a figure. Every case works on a table and a ledger of its
 * own, in a PostgreSQL that waits for its disk at each commit, and in processes of its own; afterwards it is checked in the database
 * that every claimant has one row and no row two, or the program fails. The servers are started by the program; PostgreSQL is the one
 * at DATABASE_URL if that is set. Cases of a group take turns; a figure is the median of the rounds after one that warms up.
 *
 * A run of at least five rounds writes what it measured to `results/claims.json` and `.md`, and leaves there what it did not measure.
 * `--json` prints one object with the cases and nothing else on stdout; `--smoke` does as little as shows that everything runs.
 */
import type { CaseReport } from "./claims/bench-case.ts";
import { GROUPS } from "./claims/groups.ts";
import { resolveOptions } from "./claims/options.ts";
import { printCases } from "./claims/print.ts";
import { runGroup } from "./claims/run-group.ts";
import { type KeptCase, writeResults } from "./claims/write-results.ts";
import { environment, printEnvironment } from "./environment.ts";
import { Stage } from "./stage.ts";

const KEPT_FROM_ROUNDS = 5;

const { json, sizes, selections } = resolveOptions(process.argv.slice(2), GROUPS);
const surroundings = environment(["bullmq", "amqplib", "redlock-5", "pg", "ioredis"]);
const measuredAt = new Date().toISOString();
let stage = new Stage();

let isInterrupted = false;
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, () => {
    isInterrupted = true;
    void stage.end().finally(() => process.exit(130));
  });
}

say(printEnvironment(surroundings));
say(`Medians of ${sizes.rounds} rounds. Machines and moments differ: compare the numbers of one run, not those of two.`);

const cases: CaseReport[] = [];
const kept: KeptCase[] = [];
for (const selection of selections) {
  const { group } = selection;
  stage = new Stage();
  try {
    const reports = await runGroup(selection, stage, sizes);
    cases.push(...reports);
    kept.push(
      ...reports.map((one) => ({ ...one, group: group.name, rounds: sizes.rounds, measuredAt, environment: surroundings })),
    );
    say(`\n${group.title}\n\n${printCases(reports)}`);
    for (const line of group.summary?.(reports) ?? []) say(line);
    if (!sizes.smoke && sizes.rounds >= KEPT_FROM_ROUNDS) writeResults(kept, GROUPS);
  } catch (error) {
    // The case fails because its processes and servers are being ended: the program exits once they are.
    if (isInterrupted) await new Promise(() => {});
    throw error;
  } finally {
    await stage.end();
  }
}

if (json) console.log(JSON.stringify({ cases }));
// Whatever a client left open does not keep the program.
process.exit();

function say(line: string): void {
  if (!json) console.log(line);
}
