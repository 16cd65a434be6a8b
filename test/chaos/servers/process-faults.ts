import { eventually } from "../../support/eventually.ts";
import { isRunning, send } from "../../support/process-tree.ts";
import type { ServerProcess } from "../../support/server-process.ts";
import type { ServerFault } from "../fault.ts";
import { firstAnswer } from "./first-answer.ts";

/** Longer than any lease that a run takes, of three seconds at most: whoever held one when it began does so no more when it is over. */
export const LONGER_THAN_A_LEASE: readonly [number, number] = [3_200, 4_200];
export const SHORT: readonly [number, number] = [300, 900];

const ANSWER_LIMIT_MS = 20_000;

/** A server that runs as a process of ours, as a target of faults. */
export interface Target {
  readonly name: string;
  readonly server: ServerProcess;
  /** Of `GREETINGS`, its own. */
  readonly greeting: Buffer;
}

/** How its process ends: a signal to the process alone, which ends the rest in order, or `kill`, for it and its children at once. */
export type Ending = "kill" | NodeJS.Signals;

/** Of a server that keeps its data. `product` begins their names. */
export function processFaults(target: Target, product: string): ServerFault[] {
  return [
    ended(target, `${product} killed and restarted`, "kill"),
    hung(target, `${product} hung shortly`, SHORT),
    hung(target, `${product} hung for longer than a lease`, LONGER_THAN_A_LEASE),
  ];
}

/** One that is longer than a lease is so only if it has lasted. */
function lasting(lastsMs: ServerFault["lastsMs"]): Pick<ServerFault, "lastsMs" | "leastMs"> {
  return lastsMs === LONGER_THAN_A_LEASE ? { lastsMs, leastMs: lastsMs[0] } : { lastsMs };
}

/** The process ends, stays away, and is started again. */
export function ended(target: Target, kind: string, ending: Ending, lastsMs = SHORT): ServerFault {
  const { name, server, greeting } = target;
  return {
    kind,
    target: name,
    breaksExclusion: false,
    ...lasting(lastsMs),
    inject: async () => {
      if (ending === "kill") return server.kill();
      // The id of a process that has ended may be another's by now.
      if ((await firstAnswer(server, greeting)) === "refused") throw new Error(`${name} does not run, so it cannot end.`);
      const { pid } = server;
      send(pid, ending);
      await eventually(() => !isRunning(pid), { what: `the end of ${name} after ${ending}` });
    },
    hasHit: async () => (await firstAnswer(server, greeting)) === "refused",
    heal: () => server.restart(),
  };
}

/** The process stands still with its connections open, and goes on. */
export function hung(target: Target, kind: string, lastsMs: readonly [number, number]): ServerFault {
  const { name, server, greeting } = target;
  return {
    kind,
    target: name,
    breaksExclusion: false,
    ...lasting(lastsMs),
    inject: async () => server.hang(),
    hasHit: async () => (await firstAnswer(server, greeting)) === "silent",
    heal: async () => {
      server.resume();
      const answers = async () => (await firstAnswer(server, greeting, 2_000)) === "answered";
      await eventually(answers, { timeoutMs: ANSWER_LIMIT_MS, what: `an answer of ${name} that hung` });
    },
  };
}

/** The same fault of several servers, at the same time: it hits when it hits all. */
export function atOnce(faults: readonly ServerFault[], { breaksExclusion }: Pick<ServerFault, "breaksExclusion">): ServerFault {
  const [first] = faults;
  if (first === undefined) throw new Error("There is no server to strike.");
  // All are healed, also where one was not struck or does not come back at first.
  const each = async (act: (fault: ServerFault) => Promise<void>): Promise<void> => {
    const results = await Promise.allSettled(faults.map(act));
    const failed = results.find(({ status }) => status === "rejected");
    if (failed?.status === "rejected") throw failed.reason;
  };
  return {
    ...first,
    target: faults.map(({ target }) => target).join("+"),
    breaksExclusion,
    inject: () => each((fault) => fault.inject()),
    hasHit: async () => (await Promise.all(faults.map((fault) => fault.hasHit()))).every((hasHit) => hasHit),
    heal: () => each((fault) => fault.heal()),
  };
}
