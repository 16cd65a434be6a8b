/**
 * exclaim's locks beside the published packages: what a lock costs, and what happens when it is lost.
 *
 *     npm run bench:locks -- [--only throughput,losses,split-vote,pauses,spacing] [--json] [--smoke]
 *
 * A program that people run to see numbers side by side; nothing is asserted here. Redis is started by the program, to be hung and
 * killed; PostgreSQL too, unless DATABASE_URL names one. How each package is used stands at the top of each part in `locks/`.
 * `--smoke` only shows that everything runs; `--json` prints one object with the same data.
 */
import { environment, printEnvironment } from "./environment.ts";
import { measureLosses } from "./locks/losses.ts";
import { type Part, resolveOptions } from "./locks/options.ts";
import { measurePauses } from "./locks/pauses.ts";
import { printLosses, printPauses, printSpacing, printSplitVote, printThroughput } from "./locks/print.ts";
import { measureSpacing } from "./locks/spacing.ts";
import { measureSplitVote } from "./locks/split-vote.ts";
import { measureThroughput } from "./locks/throughput.ts";
import { Stage } from "./stage.ts";

const options = resolveOptions(process.argv.slice(2));
const surroundings = environment(["redlock-4", "redlock-5", "redis-semaphore", "ioredis", "pg"]);
let stage = new Stage();

// The packages under test have rejections that nobody can catch: they must not end the program, nor go unseen.
const uncaught: string[] = [];
process.on("unhandledRejection", (error) => void uncaught.push(error instanceof Error ? error.message : String(error)));

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, () => void stage.end().finally(() => process.exit(130)));
}

const report: Record<string, unknown> = { smoke: options.smoke, environment: surroundings };
say(printEnvironment(surroundings));
say("Machines and moments differ: compare the numbers of one run, not those of two.");

await part("throughput", async () => measureThroughput(stage, options.throughput), printThroughput);
await part("losses", async () => measureLosses(stage, options.losses), printLosses);
await part("split-vote", async () => measureSplitVote(stage, options.splitVote), printSplitVote);
await part("pauses", async () => measurePauses(stage, options.pauses), printPauses);
await part("spacing", async () => measureSpacing(stage, options.spacing), printSpacing);

if (uncaught.length > 0) say(`${uncaught.length} rejections that nobody caught in this process, the first one: ${uncaught[0]}`);
if (options.json) console.log(JSON.stringify({ ...report, uncaught }));

/** Each part has servers of its own, ended before the next one begins. */
async function part<T>(name: Part, measure: () => Promise<T>, print: (measured: T) => string): Promise<void> {
  if (!options.parts.includes(name)) return;
  stage = new Stage();
  try {
    const measured = await measure();
    report[name] = measured;
    say(print(measured));
  } finally {
    await stage.end();
  }
}

function say(text: string): void {
  if (!options.json) console.log(`${text}\n`);
}
