/** The places in a message's way at which a pod can be struck, and what can be done to it there. */

export const BROKERS = ["bullmq", "rabbitmq"] as const;
export type BrokerName = (typeof BROKERS)[number];

export const LOCKS = ["none", "redlock", "redis", "node-redlock", "etcd", "zookeeper", "postgres", "mysql"] as const;
export type LockName = (typeof LOCKS)[number];

/** In the order of a message's way. Completing, giving up and renewing are statements of their own, with a before, a meanwhile and an after. */
export const FAILPOINTS = [
  "F0 delivered",
  "F1 lock requested",
  "F2 lock held",
  "F3 claim begins",
  "F4 ledger key written",
  "F5 row chosen",
  "F6 row written",
  "F7 claim sent",
  "F8 claim answered",
  "F9 handler entered",
  "F10 effect sent",
  "F11 effect answered",
  "F12 transaction begins",
  "F12 completion begins",
  "F12 completion sent",
  "F12 completion answered",
  "F12 COMMIT begins",
  "F12 COMMIT sent",
  "F12 COMMIT answered",
  "F12 giving up begins",
  "F12 giving up sent",
  "F12 giving up answered",
  "F12 renewal begins",
  "F12 renewal sent",
  "F12 renewal answered",
  "F12 lock renewal sent",
  "F13 lock release sent",
  "F14 settlement sent",
  "F15 settlement confirmed",
] as const;
export type Failpoint = (typeof FAILPOINTS)[number];

export const ACTIONS = [
  "SIGKILL",
  "close",
  "SIGSTOP beyond the ttl",
  "SIGSTOP beyond the broker's time",
  "synchronous stall beyond the ttl",
  "throw",
  "lock connection dropped",
  "lock answer lost",
  "database connection dropped",
  "database answer lost",
  "database connections dropped, all of the pod",
  "broker connection dropped",
  "broker answer lost",
] as const;
export type Action = (typeof ACTIONS)[number];

/** How often an action is chosen beside the others: the dear ones seldom, since a pod that stands still meets no failpoint. */
const WEIGHTS: Readonly<Record<Action, number>> = {
  SIGKILL: 9,
  close: 4,
  "SIGSTOP beyond the ttl": 3,
  "SIGSTOP beyond the broker's time": 2,
  "synchronous stall beyond the ttl": 3,
  throw: 26,
  "lock connection dropped": 12,
  "lock answer lost": 14,
  "database connection dropped": 16,
  "database answer lost": 20,
  "database connections dropped, all of the pod": 5,
  "broker connection dropped": 8,
  "broker answer lost": 6,
};

/** Whether a process has ended once it has played that. */
export function endsProcess(action: Action): boolean {
  return action === "SIGKILL" || action === "close";
}

/** What is played where. */
export interface Cell {
  readonly point: Failpoint;
  readonly action: Action;
}

/** As faults are named in the history. */
export function kindOf({ action, point }: Cell): string {
  return `${action} at ${point}`;
}

const INSIDE: readonly Failpoint[] = ["F4 ledger key written", "F5 row chosen", "F6 row written"];
const LOCK_CALLS: readonly Failpoint[] = ["F1 lock requested", "F12 lock renewal sent", "F13 lock release sent"];
const OF_LOCK: readonly Failpoint[] = [...LOCK_CALLS, "F2 lock held"];
/** Where the database's own connection is at hand. */
const OF_STATEMENT: readonly Failpoint[] = FAILPOINTS.filter(
  (point) => INSIDE.includes(point) || (/^F(3|7|8|12) /.test(point) && !OF_LOCK.includes(point)),
);
const THROWS: readonly Failpoint[] = [
  "F0 delivered",
  ...LOCK_CALLS,
  "F14 settlement sent",
  "F9 handler entered",
  "F10 effect sent",
  "F11 effect answered",
  ...FAILPOINTS.filter((point) => point.endsWith(" begins")),
  ...INSIDE,
];

/** Whether that can be done there, with this broker and lock. */
function isPlayable({ point, action }: Cell, broker: BrokerName, lock: LockName): boolean {
  if (OF_LOCK.includes(point) && lock === "none") return false;
  // A callback of amqplib that throws, or an ack that does, is a fault of the program and not of its surroundings.
  const isAmqpCallback = broker === "rabbitmq" && (point === "F0 delivered" || point === "F14 settlement sent");
  switch (action) {
    case "throw":
      return THROWS.includes(point) && !isAmqpCallback;
    case "lock connection dropped":
      return lock !== "none" && (OF_LOCK.includes(point) || point === "F9 handler entered");
    case "lock answer lost":
      return lock !== "none" && LOCK_CALLS.includes(point);
    case "database connection dropped":
      return OF_STATEMENT.includes(point);
    case "database answer lost":
      return OF_STATEMENT.includes(point) && point.endsWith(" sent");
    case "database connections dropped, all of the pod":
      return !OF_STATEMENT.includes(point);
    case "broker connection dropped":
      return /^F(0|8|9|11|14|15) /.test(point) || point === "F12 COMMIT answered";
    case "broker answer lost":
      // RabbitMQ answers no acknowledgement.
      return broker === "bullmq" && point === "F14 settlement sent";
    default:
      return true;
  }
}

/** Every cell of the grid that can be played, each with its weight: an action's is shared out among its points. */
export function cellsOf(broker: BrokerName, lock: LockName): readonly (Cell & { readonly weight: number })[] {
  return ACTIONS.flatMap((action) => {
    const points = FAILPOINTS.filter((point) => isPlayable({ point, action }, broker, lock));
    return points.map((point) => ({ point, action, weight: WEIGHTS[action] / points.length }));
  });
}

/** How many different cells a run can play, over all of its brokers and locks. `actions` empty: all. */
export function countPlayable(run: {
  readonly brokers: readonly BrokerName[];
  readonly locks: readonly LockName[];
  readonly actions: readonly Action[];
}): number {
  const cells = run.brokers.flatMap((broker) => run.locks.flatMap((lock) => cellsOf(broker, lock)));
  return cells.filter(({ action }) => run.actions.length === 0 || run.actions.includes(action)).length;
}

/** Whether the point is inside the claim's statement: it is reached by a trigger. */
export function isInside(point: Failpoint): boolean {
  return INSIDE.includes(point);
}
