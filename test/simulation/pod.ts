import { createEngine, type Engine } from "../../src/claim/engine.ts";
import { isExclaimError } from "../../src/errors.ts";
import { EventSource } from "../../src/events.ts";
import { type ClaimTarget, poolTarget, resourceTarget } from "../../src/queue/claim-target.ts";
import { deliverMessage, type Served } from "../../src/queue/deliver-message.ts";
import { outageRetry } from "../../src/settle/decide.ts";
import type { Disposition, SettlePolicy } from "../../src/settle/policy.ts";
import type { Settle } from "../checker/history.ts";
import type { Chronicle } from "./chronicle.ts";
import { type HandlerPorts, handle, openCompletions, phaseOf } from "./handler.ts";
import type { Network } from "./network.ts";
import type { Plan } from "./plan.ts";
import { claimantOf, type Delivery, type SimBroker } from "./sim-broker.ts";
import type { SimDatabase } from "./sim-database.ts";
import { ledgerOf } from "./sim-ledger.ts";
import type { SimLockServer } from "./sim-lock.ts";
import type { SimProcess } from "./sim-process.ts";
import type { SimSink } from "./sim-sink.ts";
import { POOL_NAME, RESOURCE_NAME } from "./witness.ts";

export interface PodPorts {
  readonly plan: Plan;
  readonly process: SimProcess;
  readonly chronicle: Chronicle;
  readonly network: Network;
  readonly database: SimDatabase;
  readonly lockServer: SimLockServer;
  readonly broker: SimBroker;
  readonly sink: SimSink;
}

const QUEUE = "sign-ups";

/** Few: a message that is put off again and again shows nothing new. */
export const MAX_DEFERRALS = 5;

/** One process of the simulated service: the engine over simulated ports, and a consumer that does what the adapters do. */
export class Pod {
  readonly engine: Engine;
  /** Deliveries under way. */
  serving = 0;
  readonly #ports: PodPorts;
  readonly #handlerPorts: HandlerPorts;
  readonly #policy: SettlePolicy<Delivery>;
  #pool: ClaimTarget<Delivery, Record<string, unknown>> | undefined;
  #resource: ClaimTarget<Delivery, undefined> | undefined;

  constructor(ports: PodPorts) {
    this.#ports = ports;
    const { plan, process, network, lockServer, broker } = ports;
    const events = new EventSource();
    events.on("claim:lost", () => {
      process.lostClaims += 1;
    });
    if (ports.chronicle.story !== undefined) this.#narrate(events);
    this.engine = createEngine({
      clock: process.clock,
      random: process.random,
      lock: plan.lockBy === "none" ? undefined : lockServer.backendOf(process, network),
      events,
      ttlMs: plan.ttlMs,
      ...ledgerOf(process, ports),
    });
    this.#handlerPorts = { ...ports, lockBy: plan.lockBy, isShared: plan.resource.mode === "shared" };
    this.#policy = policyOf(plan);
    broker.subscribe(process, plan.slots, (delivery) => void this.#serve(delivery));
  }

  /** Takes no new messages, and closes the engine in order. */
  async close(drainMs: number): Promise<void> {
    this.#ports.broker.unsubscribe(this.#ports.process);
    await this.engine.close(drainMs);
  }

  async #serve(delivery: Delivery): Promise<void> {
    const { process, chronicle, broker } = this.#ports;
    this.serving += 1;
    const { id } = delivery;
    const { plan } = delivery.message;
    chronicle.add({ at: process.nowMs(), by: process.name, what: "delivered", delivery: id, message: plan.id });
    const served =
      plan.mode === "pool"
        ? await this.#deliver(delivery, this.#poolTarget())
        : await this.#deliver(delivery, this.#resourceTarget());
    this.#logOutcome(delivery, served);
    const target = plan.mode === "pool" ? this.#poolTarget() : this.#resourceTarget();
    await this.#settle(delivery, await keptBeforeTheEnd(delivery, served, target));
    delivery.isOver = true;
    this.serving -= 1;
    broker.release(process);
  }

  #deliver<R>(delivery: Delivery, target: ClaimTarget<Delivery, R>): Promise<Served> {
    const { attemptsMade, deferrals, lastAttempt, controller, message } = delivery;
    const facts = { attemptsMade, deferrals, lastAttempt, signal: controller.signal, messageId: message.plan.id };
    return deliverMessage(
      { message: delivery, ...facts, loss: () => delivery.loss },
      {
        handler: (_, claim) => handle(this.#handlerPorts, delivery, claim),
        target,
        policy: this.#policy,
        judge: () => "failure",
      },
    );
  }

  #logOutcome(delivery: Delivery, { outcome }: Served): void {
    const { process, chronicle } = this.#ports;
    if (outcome === undefined) return;
    const at = process.nowMs();
    const by = process.name;
    const write = openCompletions.get(delivery);
    if (write !== undefined) {
      const phase = outcome.status === "completed" ? "ok" : "error" in outcome ? phaseOf(outcome.error, true) : "info";
      const { op, resource, token, result = "" } = write;
      chronicle.add({ at, by, what: "write", phase, op, delivery: delivery.id, resource, token, completes: true, result });
    }
    const { plan } = delivery.message;
    const claimant = plan.mode === "pool" ? claimantOf(plan) : plan.claimant;
    const told = { at, by, what: "outcome", delivery: delivery.id, claimant, status: outcome.status } as const;
    if (outcome.status === "completed" || outcome.status === "replayed") {
      chronicle.add({ ...told, result: String(outcome.result) });
    } else if ("error" in outcome) {
      chronicle.add({ ...told, code: isExclaimError(outcome.error) ? outcome.error.code : "none" });
    } else chronicle.add(told);
    if ("error" in outcome) chronicle.note(at, by, () => `because: ${String(outcome.error)}`);
  }

  async #settle(delivery: Delivery, disposition: Disposition): Promise<void> {
    const { process, chronicle, network, broker } = this.#ports;
    const message = delivery.message.plan.id;
    const tell = (phase: Settle["phase"]): void => {
      const at = process.nowMs();
      const by = process.name;
      chronicle.add({ at, by, what: "settle", delivery: delivery.id, message, phase, disposition: disposition.do });
    };
    tell("invoke");
    try {
      const answer = await network.call({
        from: process,
        to: "broker",
        what: () => `tells the broker of ${message}: ${disposition.do}`,
        act: () => broker.settle(delivery, disposition),
      });
      tell(answer === "settled" ? "ok" : "fail");
    } catch {
      tell("info");
    }
  }

  #poolTarget(): ClaimTarget<Delivery, Record<string, unknown>> {
    if (this.#pool !== undefined) return this.#pool;
    const { plan } = this.#ports;
    const hasScopes = !("" in plan.rows);
    const hasPicks = plan.messages.some(({ pick }) => pick !== null);
    this.#pool = poolTarget<Delivery, Record<string, unknown>>({
      pool: this.engine.pool({ table: POOL_NAME, ownerColumn: "user_id" }),
      claimant: ({ message }) => message.plan.claimant,
      ...(hasScopes ? { scope: ({ message }: Delivery) => ({ campaign: message.plan.scope ?? "a" }) } : {}),
      ...(hasPicks ? { pick: ({ message }: Delivery) => message.plan.pick ?? "1" } : {}),
      onFailure: plan.onFailure,
      onGiveUp: plan.onGiveUp,
      onReplay: plan.onReplay,
      ...(plan.lockBy === "none" ? {} : { lockBy: plan.lockBy }),
      ...(plan.maxHoldMs === null ? {} : { maxHoldMs: plan.maxHoldMs }),
    });
    return this.#pool;
  }

  #resourceTarget(): ClaimTarget<Delivery, undefined> {
    if (this.#resource !== undefined) return this.#resource;
    const { mode, minIntervalMs, from } = this.#ports.plan.resource;
    this.#resource = resourceTarget<Delivery>({
      resource: this.engine.resource(RESOURCE_NAME),
      key: ({ message }) => message.plan.claimant,
      mode,
      ...(minIntervalMs > 0 && mode === "exclusive" ? { minIntervalMs, intervalFrom: from } : {}),
    });
    return this.#resource;
  }

  #narrate(events: EventSource): void {
    const { process, chronicle } = this.#ports;
    events.on("claim:lost", ({ reason }) =>
      chronicle.note(process.nowMs(), process.name, () => `loses its claim: ${reason.message}`),
    );
    events.on("background:failed", ({ what, error }) =>
      chronicle.note(process.nowMs(), process.name, () => `failed at ${what}: ${String(error)}`),
    );
  }
}

function policyOf({ ttlMs, onContended, onEmpty }: Plan): SettlePolicy<Delivery> {
  return {
    ...(onContended === "wait" ? { onContended: { do: "wait", upToMs: ttlMs } } : {}),
    onEmpty: { do: onEmpty },
    maxDeferrals: MAX_DEFERRALS,
  };
}

/** What must outlast a message that ends is kept before its broker is told; if that fails, the message comes back for it. */
async function keptBeforeTheEnd<R>(delivery: Delivery, served: Served, target: ClaimTarget<Delivery, R>): Promise<Disposition> {
  const { disposition, claimant } = served;
  const isEnd = disposition.do === "dead-letter" || (disposition.do === "fail" && delivery.lastAttempt);
  if (!isEnd) return disposition;
  const messageId = delivery.message.plan.id;
  try {
    if (!served.isDealtWith) await target.giveUp(delivery, messageId);
    const { error } = disposition;
    await target.noteDeadLetter({ queue: QUEUE, messageId, error, ...(claimant === undefined ? {} : { claimant }) });
    return disposition;
  } catch (error) {
    if (!isExclaimError(error)) throw error;
    return outageRetry(error, delivery.deferrals, target.jitter());
  }
}
