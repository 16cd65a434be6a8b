import { parseArgs } from "node:util";
import type { ConnectionKind } from "./connections.ts";

export const PARTS = ["throughput", "losses", "split-vote", "pauses", "spacing"] as const;
export type Part = (typeof PARTS)[number];

export interface ThroughputSizes {
  readonly nodes: readonly number[];
  readonly concurrency: readonly number[];
  readonly rounds: number;
  readonly roundMs: number;
}

export interface LossSizes {
  readonly ttlMs: number;
  readonly rounds: number;
  /** How long a lock is held at least before it is lost, in ttls. */
  readonly holdTtls: number;
  /** How long after the loss a package may still tell of it. */
  readonly watchMs: number;
  readonly connections: readonly ConnectionKind[];
}

export interface SplitVoteSizes {
  readonly ttlMs: number;
  readonly rounds: number;
  /** One way, from a contender to the nodes near it, and to the others. */
  readonly nearMs: number;
  readonly farMs: number;
}

export interface PauseSizes {
  readonly ttlMs: number;
  /** Each pauses as many keys of a process at once: their product is the number of cycles. */
  readonly pauses: number;
  readonly keys: number;
  /** Between two effects on a key. */
  readonly stepMs: number;
}

export interface SpacingSizes {
  readonly intervalMs: number;
  readonly workers: number;
  readonly starts: number;
}

export interface Options {
  readonly parts: readonly Part[];
  readonly json: boolean;
  readonly smoke: boolean;
  readonly throughput: ThroughputSizes;
  readonly losses: LossSizes;
  readonly splitVote: SplitVoteSizes;
  readonly pauses: PauseSizes;
  readonly spacing: SpacingSizes;
}

const FULL = {
  throughput: { nodes: [1, 3, 5], concurrency: [1, 100], rounds: 7, roundMs: 300 },
  losses: { ttlMs: 2_000, rounds: 4, holdTtls: 1, watchMs: 5_000, connections: ["limited", "plain"] },
  splitVote: { ttlMs: 1_000, rounds: 20, nearMs: 1, farMs: 10 },
  pauses: { ttlMs: 400, pauses: 25, keys: 40, stepMs: 25 },
  spacing: { intervalMs: 300, workers: 8, starts: 40 },
} satisfies Partial<Options>;

/** Shows that everything runs. Its numbers mean nothing. */
const SMOKE = {
  throughput: { nodes: [1, 3, 5], concurrency: [1, 100], rounds: 1, roundMs: 20 },
  losses: { ttlMs: 1_000, rounds: 1, holdTtls: 0, watchMs: 1_500, connections: ["limited"] },
  splitVote: { ttlMs: 1_000, rounds: 1, nearMs: 1, farMs: 10 },
  pauses: { ttlMs: 400, pauses: 2, keys: 4, stepMs: 25 },
  spacing: { intervalMs: 100, workers: 4, starts: 6 },
} satisfies Partial<Options>;

/** Throws on an option that there is not. */
export function resolveOptions(args: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      smoke: { type: "boolean", default: false },
      json: { type: "boolean", default: false },
      only: { type: "string", default: PARTS.join(",") },
    },
  });
  const parts = values.only.split(",").map((name) => {
    const part = PARTS.find((one) => one === name.trim());
    if (part === undefined) throw new Error(`--only ${name}: there are ${PARTS.join(", ")}`);
    return part;
  });
  return { parts, json: values.json, smoke: values.smoke, ...(values.smoke ? SMOKE : FULL) };
}
