import type { RowChoices } from "./episode-plan.ts";
import type { BrokerName, LockName } from "./failpoint.ts";
import type { FaultOrder } from "./fault-orders.ts";

/** What a pod and the nemesis tell each other over their pipe. */

/** What a spare process needs to become a pod. */
export interface Assignment extends RowChoices {
  /** `pod-2.3`: the third process in the place of pod 2. */
  readonly pod: string;
  readonly seed: number;
  readonly logFile: string;
  /** What it says of itself when it does not end. */
  readonly diagnosisFile: string;
  readonly broker: BrokerName;
  readonly brokerUrl: string;
  readonly queues: QueueNames;
  readonly databaseUrl: string;
  readonly lock: LockName;
  readonly lockUrls: readonly string[];
  /** Put before the keys of the lock, so that episodes do not meet. */
  readonly lockPrefix: string;
  readonly ttlMs: number;
  readonly attempts: number;
  /** Until then, by the monotonic clock, handlers may take far longer than a lease. */
  readonly longUntilMs: number;
  readonly orders: readonly FaultOrder[];
}

export interface QueueNames {
  readonly pool: string;
  readonly resource: string;
}

export type ToPod =
  | { readonly say: "serve"; readonly assignment: Assignment }
  | { readonly say: "calm" }
  | { readonly say: "count" }
  /** Closes in order, whatever it has in hand. */
  | { readonly say: "close" }
  | { readonly say: "stop" }
  | { readonly say: "received"; readonly call: number };

export type FromPod =
  | { readonly say: "spare" }
  | { readonly say: "serving" }
  /** The first of its deliveries is in its log. */
  | { readonly say: "delivered" }
  /** How many deliveries it has that it has not settled. */
  | { readonly say: "in hand"; readonly count: number }
  | { readonly say: "stopping"; readonly id: string; readonly kind: string; readonly lastsMs: number }
  | ({ readonly say: "closing" } & Closing)
  | ({ readonly say: "closed" } & Closed)
  | { readonly say: "effect"; readonly call: number; readonly effects: readonly EffectSent[] };

/** It closes in order while it works. */
export interface Closing {
  /** By the monotonic clock. */
  readonly atMs: number;
}

/** It has closed in order, and ends. */
export interface Closed {
  /** Whether all that it had in hand was over before it was broken off. */
  readonly isDrained: boolean;
  /** Who won outer locks there: none of them may have one still. */
  readonly owners: readonly string[];
}

export interface EffectSent {
  readonly key: string;
  readonly via: "outbox" | "direct";
  readonly claimant: string;
  readonly resource: string;
  readonly token: number;
}

/** What a message of either queue holds. */
export interface ChaosMessage {
  readonly message: string;
  readonly claimant: string;
  readonly isPoison: boolean;
  /** Its handler takes about a lease, whatever chance says. */
  readonly isSlow?: boolean;
}
