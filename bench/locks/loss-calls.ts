import type { ConnectionKind } from "./connections.ts";
import type { Contender } from "./contender.ts";
import { exclaimLock } from "./contenders/exclaim.ts";
import { redisSemaphore } from "./contenders/redis-semaphore.ts";
import { redlock5Using } from "./contenders/redlock-5.ts";

/** Contenders that tell their holder of a loss. */
export const TELLING: readonly Contender[] = [exclaimLock, redlock5Using, redisSemaphore];

/** What may happen to a lock that is held. */
export const LOSSES = ["stolen", "hung", "killed"] as const;
export type LossKind = (typeof LOSSES)[number];

export interface HoldRequest {
  readonly contender: string;
  /** What will happen to it: a process holds one lock for each. */
  readonly loss: LossKind;
  readonly key: string;
  readonly urls: readonly string[];
  readonly connections: ConnectionKind;
  readonly ttlMs: number;
}

/** What the process of one package is asked: it holds locks and says when it was told that they are lost. */
export type LossCalls = {
  hold: { ask: HoldRequest; answer: undefined };
  /** Resolves once all were told of, or at `untilMs`: the instant for each loss, on the machine's monotonic clock. */
  watch: { ask: { readonly untilMs: number }; answer: Readonly<Record<LossKind, number | null>> };
  /** Lets go of everything, for the next round. */
  drop: { ask: undefined; answer: undefined };
};
