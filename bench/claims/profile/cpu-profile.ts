import { type Profiler, Session } from "node:inspector/promises";

/** Time that the main thread spent in one function itself, not in those it called. */
export interface SelfTime {
  readonly name: string;
  /** Where the function is, by V8: empty for what is none of JavaScript's. */
  readonly url: string;
  /** From 1. */
  readonly line: number;
  readonly micros: number;
}

const SAMPLE_MICROS = 200;

/** Does the work under V8's sampling profiler, in this process. Answers in descending order. */
export async function cpuProfile(work: () => Promise<void>): Promise<readonly SelfTime[]> {
  const session = new Session();
  session.connect();
  try {
    await session.post("Profiler.enable");
    await session.post("Profiler.setSamplingInterval", { interval: SAMPLE_MICROS });
    await session.post("Profiler.start");
    await work();
    const { profile } = await session.post("Profiler.stop");
    return selfTimes(profile);
  } finally {
    session.disconnect();
  }
}

/** One function is many nodes of a profile, one for each way to it. */
function selfTimes({ nodes, samples = [], timeDeltas = [] }: Profiler.Profile): readonly SelfTime[] {
  const microsOf = new Map<number, number>();
  samples.forEach((node, index) => {
    // A delta is the time before its sample: what ran until the next one is what the sample saw.
    microsOf.set(node, (microsOf.get(node) ?? 0) + Math.max(0, timeDeltas[index + 1] ?? 0));
  });
  const functions = new Map<string, SelfTime>();
  for (const { id, callFrame } of nodes) {
    const { functionName: name, url, lineNumber, columnNumber } = callFrame;
    const key = `${name} ${url}:${lineNumber}:${columnNumber}`;
    const micros = (functions.get(key)?.micros ?? 0) + (microsOf.get(id) ?? 0);
    functions.set(key, { name: name || "(anonymous)", url, line: lineNumber + 1, micros });
  }
  return [...functions.values()].filter(({ micros }) => micros > 0).sort((a, b) => b.micros - a.micros);
}
