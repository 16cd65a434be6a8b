import { type Failpoint, kindOf } from "../failpoint.ts";
import type { FaultOrder } from "../fault-orders.ts";
import { type HistoryLog, monotonicMs } from "../history-log.ts";
import type { FromPod } from "../pod-messages.ts";
import type { Droppable } from "./relay.ts";

/** What the caller of `pass` has to do itself: to throw, or to lose an answer. It says by `hit` that it has. */
export interface Consequence {
  readonly does:
    | "throw"
    | "lose the database's answer"
    | "lose the lock's answer"
    | "lose the broker's answer"
    | "drop this connection";
  hit(): void;
}

/** What a pod's connections are called by. */
export interface Connections {
  readonly lock: Droppable;
  readonly broker: Droppable;
  readonly database: Droppable;
}

/** The faults that this process plays on itself, as the nemesis ordered them. Synchronous, so that it strikes exactly where it is called. */
export class Failpoints {
  readonly #log: HistoryLog;
  readonly #tell: (message: FromPod) => void;
  readonly #close: (hit: () => void) => void;
  readonly #beganAt = monotonicMs();
  readonly #due = new Map<Failpoint, FaultOrder[]>();
  #connections: Connections | undefined;

  /** `close`: closes the process in order, and calls what it is given once it has. */
  constructor(
    orders: readonly FaultOrder[],
    ports: { readonly log: HistoryLog; tell(message: FromPod): void; close(hit: () => void): void },
  ) {
    this.#log = ports.log;
    this.#tell = ports.tell;
    this.#close = ports.close;
    for (const order of orders) this.#due.set(order.point, [...(this.#due.get(order.point) ?? []), order]);
  }

  connect(connections: Connections): void {
    this.#connections = connections;
  }

  /** No more faults. */
  calm(): void {
    this.#due.clear();
  }

  /** Strikes if a fault is due at this point. Returns what is left to the caller. */
  pass(point: Failpoint): Consequence | undefined {
    const order = this.take(point);
    return order === undefined ? undefined : this.strike(order);
  }

  /** The order that is due at this point, which is then played by `strike`. */
  take(point: Failpoint): FaultOrder | undefined {
    const orders = this.#due.get(point);
    const [first] = orders ?? [];
    if (first === undefined || monotonicMs() - this.#beganAt < first.atMs) return undefined;
    orders?.shift();
    return first;
  }

  strike(order: FaultOrder): Consequence | undefined {
    const hit = this.#injected(order);
    switch (order.action) {
      case "SIGKILL":
        process.kill(process.pid, "SIGKILL");
        return undefined;
      case "close":
        this.#close(hit);
        return undefined;
      case "SIGSTOP beyond the ttl":
      case "SIGSTOP beyond the broker's time":
        this.#tell({ say: "stopping", id: order.id, kind: kindOf(order), lastsMs: order.lastsMs });
        process.kill(process.pid, "SIGSTOP");
        return undefined;
      case "synchronous stall beyond the ttl":
        if (stall(order.lastsMs) >= order.lastsMs) hit();
        return undefined;
      case "throw":
        return { does: "throw", hit };
      case "database answer lost":
        return { does: "lose the database's answer", hit };
      case "lock answer lost":
        return { does: "lose the lock's answer", hit };
      case "database connection dropped":
        return { does: "drop this connection", hit };
      case "lock connection dropped":
        this.#connections?.lock.drop(hit);
        return undefined;
      case "broker connection dropped":
        this.#connections?.broker.drop(hit);
        return undefined;
      case "broker answer lost":
        return { does: "lose the broker's answer", hit };
      case "database connections dropped, all of the pod":
        this.#connections?.database.drop(hit);
        return undefined;
    }
  }

  /** Writes down that it is about to be done. Returns what writes down, once, that it came about. */
  #injected(order: FaultOrder): () => void {
    const fault = { what: "fault", id: order.id, kind: kindOf(order), target: this.#log.by } as const;
    this.#log.write({ ...fault, phase: "injected" });
    let isHit = false;
    return () => {
      if (isHit) return;
      isHit = true;
      this.#log.write({ ...fault, phase: "hit" });
    };
  }
}

/** Does nothing for so long, and lets nothing else of this process be done. Returns how long it really took, in ms. */
function stall(lastsMs: number): number {
  const beganAt = monotonicMs();
  const nobody = new Int32Array(new SharedArrayBuffer(4));
  for (let leftMs = lastsMs; leftMs > 0; leftMs = lastsMs - (monotonicMs() - beganAt)) Atomics.wait(nobody, 0, 0, leftMs);
  return monotonicMs() - beganAt;
}
