import type { Claim, Exclaim, Pool, Resource } from "../../../src/index.ts";
import type { HistoryLog } from "../history-log.ts";
import type { Assignment, ChaosMessage } from "../pod-messages.ts";
import type { CurrentDelivery } from "./current-delivery.ts";
import type { Failpoints } from "./failpoints.ts";
import { chaosHandler, type HandlerPorts } from "./handler.ts";
import { recordedPool, recordedResource } from "./recorded-claims.ts";

/** What a pod serves, whichever broker brings it. */
export interface Service {
  readonly assignment: Assignment;
  readonly log: HistoryLog;
  readonly failpoints: Failpoints;
  readonly pool: Pool<object>;
  readonly resource: Resource;
  handleRow(message: ChaosMessage, claim: Claim<unknown>): Promise<unknown>;
  handleKey(message: ChaosMessage, claim: Claim<unknown>): Promise<unknown>;
  /** Writes down that a message was handed over, under an id of this handing-over alone. */
  deliver(message: string): CurrentDelivery;
  /** What the broker answers next to a command with `sign` in it is lost. Returns what takes that back. */
  loseBrokerAnswer(sign: string, hit: () => void): () => void;
  /** Deliveries that are not settled, by their ids. */
  readonly inHand: Set<string>;
}

/** A broker's queues being served. */
export interface Serving {
  /** Resolves once every message in hand has ended. `hung`: the broker's client does not close all the same. */
  close(): Promise<"closed" | "hung">;
}

export const POOL = { table: "voucher_item", ownerColumn: "user_id" } as const;

/**
 * What becomes of messages that cannot be served now, or ever. They are seldom put off: one that was often is put off for up to half a
 * minute when a server is away, and the end of an episode would wait for it.
 */
export const CONTENDED = { do: "wait", upToMs: 1_000, otherwise: { do: "retry", delayMs: 60 } } as const;
export const LOST = { do: "retry", delayMs: 60 } as const;
export const EMPTY = { do: "dead-letter", reason: "no vouchers left" } as const;

/** How many messages of a queue a pod works on at a time. */
export const CONCURRENCY = 6;

/** What a service works with beside what its handlers do. */
export interface ServicePorts extends HandlerPorts {
  readonly loseBrokerAnswer: Service["loseBrokerAnswer"];
  /** Called once the first delivery is written down. */
  readonly hasDelivered: () => void;
}

export function openService(exclaim: Exclaim, assignment: Assignment, ports: ServicePorts): Service {
  const { log, failpoints, loseBrokerAnswer } = ports;
  let deliveries = 0;
  return {
    assignment,
    log,
    failpoints,
    pool: recordedPool(exclaim.pool(POOL), log),
    resource: recordedResource(exclaim.resource("order"), log),
    handleRow: chaosHandler(ports, "voucher_item"),
    handleKey: chaosHandler(ports, "order"),
    inHand: new Set(),
    loseBrokerAnswer,
    deliver(message) {
      deliveries += 1;
      const id = `${log.by}/${deliveries}/${message}`;
      log.write({ what: "delivered", delivery: id, message });
      if (deliveries === 1) ports.hasDelivered();
      return { id, message };
    },
  };
}
