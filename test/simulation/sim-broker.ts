import { ExclaimError } from "../../src/errors.ts";
import type { Disposition } from "../../src/settle/policy.ts";
import type { Chronicle } from "./chronicle.ts";
import type { Nemesis } from "./nemesis.ts";
import type { MessagePlan, Plan } from "./plan.ts";
import { isPatient, type LeftOver } from "./rest-time.ts";
import type { Scheduler } from "./scheduler.ts";
import type { SeededRandom } from "./seeded-random.ts";
import type { SimProcess } from "./sim-process.ts";
import { POOL_NAME, poolName } from "./witness.ts";

/** A message as the broker keeps it. */
export interface BrokerMessage {
  readonly plan: MessagePlan;
  state: "waiting" | "active" | "completed" | "failed" | "dead-letter";
  attemptsMade: number;
  /** Put off, stalled or taken away. */
  deferrals: number;
  /** Runs of its handler. */
  runs: number;
  /** The handing-over whose answer counts. */
  active: Delivery | undefined;
}

/** One handing-over of a message. */
export interface Delivery {
  readonly id: string;
  readonly message: BrokerMessage;
  readonly to: SimProcess;
  readonly attemptsMade: number;
  readonly deferrals: number;
  readonly lastAttempt: boolean;
  readonly controller: AbortController;
  /** The process is done with it, whether or not the broker heard of that. */
  isOver: boolean;
  /** Why the broker takes no answer any more, once the process knows. */
  loss: ExclaimError | undefined;
}

interface Consumer {
  readonly process: SimProcess;
  readonly receive: (delivery: Delivery) => void;
  freeSlots: number;
}

export interface BrokerPorts {
  readonly plan: Plan;
  readonly scheduler: Scheduler;
  readonly chronicle: Chronicle;
  readonly nemesis: Nemesis;
  readonly chance: SeededRandom;
}

const RETRY_AFTER_FAILURE_MS = 50;

/** So often the time for a message that comes back doubles. */
const MAX_DOUBLINGS = 8;

/** A message that is out of its order comes so much later, in usual latencies. */
const HELD_BACK_LATENCIES = 10;

/** A broker that delivers at least once: what is not settled in time it delivers again, and an answer that comes too late it ignores. */
export class SimBroker {
  readonly messages: BrokerMessage[] = [];
  /** Messages that have not ended, also those not yet sent. */
  open: number;
  readonly #ports: BrokerPorts;
  readonly #waiting: BrokerMessage[] = [];
  readonly #consumers: Consumer[] = [];
  #deliveries = 0;

  constructor(ports: BrokerPorts) {
    this.#ports = ports;
    this.open = ports.plan.messages.length;
    for (const plan of ports.plan.messages) ports.scheduler.at(plan.sentAtMs, () => this.#send(plan));
  }

  subscribe(process: SimProcess, slots: number, receive: (delivery: Delivery) => void): void {
    this.#consumers.push({ process, receive, freeSlots: slots });
    this.#pump();
  }

  unsubscribe(process: SimProcess): void {
    const index = this.#consumers.findIndex((consumer) => consumer.process === process);
    if (index >= 0) this.#consumers.splice(index, 1);
  }

  /** The process can take one more. */
  release(process: SimProcess): void {
    const consumer = this.#consumers.find((one) => one.process === process);
    if (consumer === undefined) return;
    consumer.freeSlots += 1;
    this.#pump();
  }

  /** The connection of a process ended: what it had comes back. */
  disconnect(process: SimProcess): void {
    this.unsubscribe(process);
    for (const { active } of this.messages) if (active?.to === process) this.#takeBack(active);
  }

  /** Applies a disposition, unless the message was taken away meanwhile. */
  async settle(delivery: Delivery, disposition: Disposition): Promise<"settled" | "stale"> {
    const { message } = delivery;
    if (message.active !== delivery) return "stale";
    message.active = undefined;
    switch (disposition.do) {
      case "complete":
        this.#end(message, "completed");
        break;
      case "dead-letter":
        this.#end(message, "dead-letter");
        break;
      case "retry":
        message.deferrals += 1;
        this.#wait(message, disposition.delayMs);
        break;
      case "fail":
        message.attemptsMade += 1;
        if (delivery.lastAttempt) this.#end(message, "failed");
        else this.#wait(message, RETRY_AFTER_FAILURE_MS);
        break;
    }
    return "settled";
  }

  /** What the faults of the past leave to wait for. */
  leftOver(): LeftOver {
    let deferrals = 0;
    let brokerMs = 0;
    for (const message of this.messages) {
      deferrals = Math.max(deferrals, message.deferrals);
      if (message.active !== undefined) brokerMs = Math.max(brokerMs, this.#keepMs(message.active));
    }
    return { deferrals, brokerMs };
  }

  dump(): void {
    const at = this.#ports.scheduler.nowMs;
    for (const { plan, state } of this.messages) {
      const message = plan.id;
      this.#ports.chronicle.add({
        at,
        by: "broker",
        what: "final-message",
        message,
        state: state === "active" ? "waiting" : state,
      });
    }
  }

  #send(plan: MessagePlan): void {
    const { chronicle, scheduler } = this.#ports;
    const claimant = plan.mode === "pool" ? claimantOf(plan) : plan.claimant;
    const { id: message, mode, isPoison, scope, pick } = plan;
    const picked = pick === null ? {} : { pick: `${POOL_NAME}:${pick}` };
    const of = mode === "pool" ? { pool: poolName(scope), ...picked } : {};
    const mayDie = mayBeGivenUp(this.#ports.plan, plan);
    chronicle.add({ at: scheduler.nowMs, by: "importer", what: "sent", message, mode, claimant, isPoison, mayDie, ...of });
    const sent: BrokerMessage = { plan, state: "waiting", attemptsMade: 0, deferrals: 0, runs: 0, active: undefined };
    this.messages.push(sent);
    this.#wait(sent, 0);
  }

  #end(message: BrokerMessage, state: "completed" | "failed" | "dead-letter"): void {
    message.state = state;
    this.open -= 1;
  }

  #wait(message: BrokerMessage, delayMs: number): void {
    message.state = "waiting";
    this.#ports.scheduler.at(this.#ports.scheduler.nowMs + delayMs, () => {
      this.#waiting.push(message);
      this.#pump();
    });
  }

  #pump(): void {
    while (this.#waiting.length > 0) {
      const free = this.#consumers.filter(({ freeSlots }) => freeSlots > 0);
      const consumer = free[Math.floor(this.#ports.chance.fraction() * free.length)];
      if (consumer === undefined) return;
      this.#deliveries += 1;
      const message = this.#waiting.shift();
      if (message === undefined) return;
      if (this.#fault("reordered-delivery")) {
        this.#wait(message, this.#ports.plan.latencyMs * HELD_BACK_LATENCIES);
        continue;
      }
      this.#hand(message, consumer);
      const other = free.find((one) => one !== consumer && one.freeSlots > 0);
      if (other !== undefined && this.#fault("duplicate-delivery")) this.#hand(message, other);
    }
  }

  #fault(kind: "reordered-delivery" | "duplicate-delivery"): boolean {
    const { nemesis } = this.#ports;
    const fault = nemesis.atDelivery(this.#deliveries, kind);
    if (fault !== undefined) nemesis.hit(fault, `delivery ${this.#deliveries}`);
    return fault !== undefined;
  }

  #hand(message: BrokerMessage, consumer: Consumer): void {
    const { plan, scheduler, chance } = this.#ports;
    consumer.freeSlots -= 1;
    const { attemptsMade, deferrals } = message;
    const delivery: Delivery = {
      id: `${message.plan.id}.${attemptsMade + deferrals + 1}.${this.#deliveries}.${consumer.process.name}`,
      message,
      to: consumer.process,
      attemptsMade,
      deferrals,
      lastAttempt: attemptsMade + 1 >= plan.broker.attempts,
      controller: new AbortController(),
      isOver: false,
      loss: undefined,
    };
    message.state = "active";
    message.active = delivery;
    const atMs = scheduler.nowMs + plan.latencyMs * (0.2 + chance.fraction());
    scheduler.at(atMs, () => consumer.receive(delivery), consumer.process);
    this.#watch(delivery);
  }

  #keepMs({ deferrals }: Delivery): number {
    return this.#ports.plan.broker.timeoutMs * 2 ** Math.min(deferrals, MAX_DOUBLINGS);
  }

  /** A process that runs keeps its messages, where the broker lets it. Where not, each time is longer, or some would never be done. */
  #watch(delivery: Delivery): void {
    const { plan, scheduler } = this.#ports;
    scheduler.at(scheduler.nowMs + this.#keepMs(delivery), () => {
      const { message, to, isOver } = delivery;
      if (message.active !== delivery) return;
      if (plan.broker.renews && !isOver && to.isAlive && to.busyUntilMs <= scheduler.nowMs) this.#watch(delivery);
      else this.#takeBack(delivery);
    });
  }

  #takeBack(delivery: Delivery): void {
    const { plan, scheduler } = this.#ports;
    const { message, to } = delivery;
    message.active = undefined;
    message.deferrals += 1;
    this.#wait(message, 0);
    if (!plan.broker.renews) return;
    const loss = new ExclaimError("LEASE_LOST", "the broker took the message away");
    scheduler.at(
      scheduler.nowMs + plan.latencyMs,
      () => {
        delivery.loss = loss;
        delivery.controller.abort(loss);
      },
      to,
    );
  }
}

/** Its handler fails, or may; else it must end well, or be refused. */
function mayBeGivenUp(plan: Plan, message: MessagePlan): boolean {
  const { faults, maxHoldMs, broker } = plan;
  const { isPoison, work, claimant } = message;
  // A completion that failed fails its handler, also one that caught it.
  if (isPoison || work.throws > 0 || work.ending === "release" || work.ending === "complete-caught") return true;
  // Handed over anew while its handler works, it may be put off until it is given up; and then a stall loses the claim of that handler.
  if (work.stallMs > 0 && !broker.renews) return true;
  // Those that want the same may be in each other's way too often.
  if (plan.messages.some((other) => other !== message && other.claimant === claimant)) return true;
  return faults.length > 0 || maxHoldMs !== null || !isPatient(plan);
}

/** As histories name it. */
export function claimantOf({ claimant, scope }: MessagePlan): string {
  return scope === null ? claimant : `${claimant} of ${scope}`;
}
