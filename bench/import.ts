/**
 * A bulk import beside the loop that one writes by hand: rows of a CSV file into a BullMQ queue.
 *
 *     npm run bench:import -- [--rows 1000000] [--kills] [--json] [--smoke]
 *
 * By hand: csv-parse's own stream, chunks of 200, `queue.addBulk`, and nothing else. exclaim: `fanOut(csvRows(…))`, which records each row
 * in PostgreSQL as well. Each runs in a process of its own; they take turns, a slice of the file each, with the other one idle.
 * `--kills`: instead, an importer that is killed at five random moments and started again; every row must arrive.
 * A program that people run to see numbers; nothing is asserted here but that rows arrive. Redis is started by the program, PostgreSQL
 * too, unless DATABASE_URL names one; one that is started does not wait for its disk (fsync is off).
 */
import { environment, printEnvironment } from "./environment.ts";
import { importUnderKills } from "./import/kills.ts";
import { measureImport } from "./import/measure.ts";
import { resolveOptions } from "./import/options.ts";
import { printImport, printKills } from "./import/print.ts";
import { Stage } from "./stage.ts";

const options = resolveOptions(process.argv.slice(2));
const stage = new Stage();

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, () => void stage.end().finally(() => process.exit(130)));
}

try {
  say(printEnvironment(environment(["bullmq", "csv-parse", "ioredis", "pg"])));
  if (options.kills) {
    const report = await importUnderKills(stage, options.rows);
    say(printKills(report));
    if (options.json) console.log(JSON.stringify(report));
  } else {
    const { summary, ...details } = await measureImport(stage, options.rows);
    say(printImport(summary, details));
    if (options.json) console.log(JSON.stringify(summary));
  }
} finally {
  await stage.end();
}

function say(text: string): void {
  if (!options.json) console.log(`${text}\n`);
}
