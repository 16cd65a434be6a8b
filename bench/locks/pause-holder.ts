/** The process that gets paused; `pauses.ts` starts one for each way of using a lock. */
import { setTimeout as delay } from "node:timers/promises";
import { serve } from "../child.ts";
import { monotonicMs } from "./monotonic.ts";
import type { PauseCalls } from "./pause-calls.ts";
import { PAUSE_USES, type PausedHold } from "./pause-uses.ts";

const START_TRIES = 10;

let hold: (key: string) => Promise<PausedHold | null>;
let stepMs = 0;
let isWorking = false;
let effects: Record<string, number[]> = {};
let work: Promise<void>[] = [];

serve<PauseCalls>({
  async open(setup) {
    const use = PAUSE_USES.find(({ name }) => name === setup.use);
    if (use === undefined) throw new Error(`there is no use ${setup.use}`);
    hold = await use.open(setup);
    stepMs = setup.stepMs;
    return undefined;
  },

  async work({ keys }) {
    isWorking = true;
    effects = Object.fromEntries(keys.map((key) => [key, []]));
    const holds = await Promise.all(keys.map(holdFree));
    work = keys.map((key, index) => workOn(holds[index], effects[key] ?? []));
    return undefined;
  },

  async report() {
    isWorking = false;
    await Promise.all(work);
    return effects;
  },
});

/** The ttl is short: on a machine that stalls a free key may be won too late to be of use. */
async function holdFree(key: string): Promise<PausedHold> {
  for (let tries = 1; ; tries += 1) {
    const held = await hold(key).catch((error: unknown) => {
      if (tries === START_TRIES) throw error;
      return null;
    });
    if (held !== null) return held;
    if (tries === START_TRIES) throw new Error(`${key} should have been free`);
  }
}

async function workOn(held: PausedHold | undefined, done: number[]): Promise<void> {
  await delay(Math.random() * stepMs);
  while (isWorking && (await held?.attempt(() => void done.push(monotonicMs())))) await delay(stepMs);
  // Not waited for: a package may try for seconds to give back what is no longer its own.
  held?.release().catch(() => {});
}
