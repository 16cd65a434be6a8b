/**
 * Lets every pattern of the sources loose on texts made against it. Run by its test in a process of its own, which is killed when one
 * of them does not come to an end. Prints each pattern before it is tried, so that the last line names one that hung, and each whose
 * steps grow faster than its text.
 */
import { attacksOn, type FoundPattern, sourcePatterns } from "./regular-expressions.ts";

const LENGTH = 100_000;
/** A quarter of the text takes a quarter of the steps; a sixteenth where they grow with its square. */
const SHORTER = 4;
const SUSPICIOUS_GROWTH = 8;
/** Of the processor, whatever else runs: what takes less harms nobody, and is not worth to be measured. */
const WORTH_MEASURING_MS = 300;

function processorMs({ source, flags }: FoundPattern, text: string): number {
  const pattern = new RegExp(source, flags);
  const start = process.cpuUsage();
  text.replace(pattern, "");
  const { user, system } = process.cpuUsage(start);
  return (user + system) / 1_000;
}

for (const pattern of sourcePatterns().literals) {
  const name = `${pattern.file} /${pattern.source}/${pattern.flags}`;
  process.stdout.write(`${name}\n`);
  const shorter = attacksOn(pattern, LENGTH / SHORTER);
  for (const [index, text] of attacksOn(pattern, LENGTH).entries()) {
    const tookMs = processorMs(pattern, text);
    if (tookMs < WORTH_MEASURING_MS) continue;
    if (tookMs > SUSPICIOUS_GROWTH * processorMs(pattern, shorter[index] ?? "")) {
      process.stdout.write(`${name} takes ${Math.round(tookMs)} ms for ${JSON.stringify(text.slice(0, 40))}...\n`);
      process.exit(1);
    }
  }
}
process.stdout.write("all of them ended\n");
