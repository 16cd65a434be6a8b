import { AsyncLocalStorage } from "node:async_hooks";

/** The delivery in whose course a function was called. */
export interface CurrentDelivery {
  readonly id: string;
  readonly message: string;
  /** What the engine last made of it. */
  outcome?: string;
}

const deliveries = new AsyncLocalStorage<CurrentDelivery>();

export function duringDelivery<T>(delivery: CurrentDelivery, work: () => T): T {
  return deliveries.run(delivery, work);
}

export function currentDelivery(): CurrentDelivery {
  return deliveries.getStore() ?? { id: "none", message: "none" };
}
