import type { Claim } from "../../src/claim/claim.ts";
import { resourceKey, rowKey, slotKey } from "../../src/claim/lock-key.ts";
import { pause } from "../../src/clock.ts";
import { type ExclaimErrorCode, isExclaimError } from "../../src/errors.ts";
import { sleep } from "../../src/lease/sleep.ts";
import type { Write } from "../checker/history.ts";
import type { Chronicle } from "./chronicle.ts";
import type { Network } from "./network.ts";
import type { Plan, WorkPlan } from "./plan.ts";
import type { Delivery } from "./sim-broker.ts";
import { claimantOf } from "./sim-broker.ts";
import type { OutboxEffect } from "./sim-database.ts";
import type { SimProcess } from "./sim-process.ts";
import type { SimSink } from "./sim-sink.ts";
import { POOL_NAME, RESOURCE_NAME } from "./witness.ts";

export interface HandlerPorts {
  readonly lockBy: Plan["lockBy"];
  /** Keys of named resources are taken together with others. */
  readonly isShared: boolean;
  readonly process: SimProcess;
  readonly network: Network;
  readonly sink: SimSink;
  readonly chronicle: Chronicle;
}

type WriteKind = Pick<Write, "completes" | "publishes" | "result">;

/** A quick run takes so much less. */
const QUICKER = 50;

/** Parts of a slow run's work. */
const PARTS = 5;

/** A write whose end is not known yet. */
export type OpenWrite = Pick<Write, "op" | "resource" | "token" | "result">;

/** The outcome of the engine tells how these ended: the completion that follows a handler which returned. */
export const openCompletions = new WeakMap<Delivery, OpenWrite>();

const NOT_COMMITTED: readonly ExclaimErrorCode[] = ["LEASE_LOST", "HOLD_EXCEEDED", "CLAIM_ENDED", "CLOSED", "ABORTED"];

/** What handlers of the simulation do, as the plan of their message says; each step is logged before and after. */
export async function handle(ports: HandlerPorts, delivery: Delivery, claim: Claim<unknown>): Promise<string> {
  const { process, chronicle, isShared } = ports;
  const run = new HandlerRun(ports, delivery, claim);
  const { message } = delivery;
  const { work, isPoison } = message.plan;
  const { attempt, resumed } = claim;
  message.runs += 1;
  const { runs } = message;
  const isSlow = runs <= work.slowRuns;
  const { resource, token } = run.about;
  const { at, by } = run.stamp();
  const { claimant } = run;
  const locks = run.locks(ports);
  const started = {
    at,
    by,
    what: "started",
    delivery: delivery.id,
    resource,
    token,
    claimant,
    attempt,
    resumed,
    locks,
  } as const;
  if (message.plan.mode === "pool") chronicle.add({ ...started, row: run.row() });
  else chronicle.add(isShared ? { ...started, mode: "shared" } : started);

  if (work.asserts) run.assertHeld();
  if (work.hasEffect) await run.sendEffect();
  for (let write = 0; write < work.writes; write += 1) await run.write();
  for (const key of locks) process.restingOn.set(key, { resource: run.about.resource, token: run.about.token });
  try {
    await run.work(work, isSlow);
    if (work.asserts) run.assertHeld();
  } finally {
    for (const key of locks) process.restingOn.delete(key);
  }
  if (isPoison || runs <= work.throws) {
    chronicle.note(process.nowMs(), process.name, () => "handler throws");
    if (work.throwsInside) await run.failInside();
    throw new Error("the handler fails");
  }
  await run.end(work, isSlow);
  return run.result;
}

class HandlerRun {
  readonly claimant: string;
  readonly about: { readonly delivery: string; readonly resource: string; readonly token: number };
  /** What it returns. */
  readonly result: string;
  readonly #ports: HandlerPorts;
  readonly #delivery: Delivery;
  readonly #claim: Claim<unknown>;
  #ops = 0;

  constructor(ports: HandlerPorts, delivery: Delivery, claim: Claim<unknown>) {
    this.#ports = ports;
    this.#delivery = delivery;
    this.#claim = claim;
    const { plan } = delivery.message;
    const isPool = plan.mode === "pool";
    const resource = `${isPool ? POOL_NAME : RESOURCE_NAME}:${claim.key}`;
    this.result = `result of ${claim.key}`;
    this.claimant = isPool ? claimantOf(plan) : plan.claimant;
    this.about = { delivery: delivery.id, resource, token: Number(claim.token) };
  }

  /** The row that the engine handed over, which must be the one that is claimed. */
  row(): string {
    const { row } = this.#claim;
    return `${POOL_NAME}:${typeof row === "object" && row !== null && "id" in row ? String(row.id) : "none"}`;
  }

  stamp(): { readonly at: number; readonly by: string } {
    return { at: this.#ports.process.nowMs(), by: this.#ports.process.name };
  }

  /** The outer locks that the claim rests on, where it has them alone. */
  locks({ lockBy, isShared }: Pick<HandlerPorts, "lockBy" | "isShared">): readonly string[] {
    const { mode, claimant, scope } = this.#delivery.message.plan;
    if (lockBy === "none") return [];
    if (mode === "resource") return isShared ? [] : [resourceKey(RESOURCE_NAME, claimant)];
    const slot = slotKey(POOL_NAME, scope === null ? {} : { campaign: scope }, claimant);
    const row = rowKey(POOL_NAME, this.#claim.key);
    return { claimant: [slot], row: [row], both: [slot, row] }[lockBy];
  }

  assertHeld(): void {
    const askedAt = this.#ports.process.nowMs();
    this.#claim.assertHeld();
    const { delivery, resource, token } = this.about;
    const by = this.#ports.process.name;
    this.#ports.chronicle.add({ at: this.#ports.process.nowMs(), by, what: "held", askedAt, delivery, resource, token });
  }

  async sendEffect(): Promise<void> {
    const { network, sink, process } = this.#ports;
    const { resource, token } = this.about;
    const effect: OutboxEffect = { claimant: this.claimant, resource, token };
    const key = `${this.claimant} ${resource}`;
    await network.call({
      from: process,
      to: "sink",
      what: () => `notifies ${this.claimant} of ${resource}`,
      act: async () => sink.arrive(key, "direct", effect),
    });
  }

  /** Works in parts; with `asserts` it makes sure of its claim after each. */
  async work(work: WorkPlan, isSlow: boolean): Promise<void> {
    const { process } = this.#ports;
    const workMs = isSlow ? work.workMs : work.workMs / QUICKER;
    const parts = isSlow && work.asserts ? PARTS : 1;
    for (let part = 0; part < parts && workMs > 0; part += 1) {
      if (work.ignoresSignal) await pause(process.clock, workMs / parts);
      else {
        await sleep(process.clock, workMs / parts, [this.#claim.signal]);
        if (this.#claim.signal.aborted) throw this.#claim.signal.reason;
      }
      if (work.asserts && part + 1 < parts) this.assertHeld();
    }
    if (isSlow && work.stallMs > 0) process.stall(work.stallMs);
  }

  write(): Promise<unknown> {
    return this.#fenced({ completes: false }, () => this.#claim.transaction((tx) => tx.query("insert")));
  }

  async end(work: WorkPlan, isSlow: boolean): Promise<unknown> {
    const { ending } = work;
    switch (ending === "release" && !isSlow ? "return" : ending) {
      case "return":
        return this.#return();
      case "complete":
        return await this.#complete();
      case "complete-with":
        return await this.#completeWith();
      case "complete-caught":
        await this.failInside().catch(() => {});
        return this.#return();
      case "complete-again":
        if (isSlow) await this.failInside().catch(() => this.work(work, isSlow));
        return await this.#completeWith();
      case "complete-unawaited":
        void this.#complete().catch(() => {});
        return undefined;
      case "release":
        this.#ports.chronicle.note(this.stamp().at, this.stamp().by, () => `gives ${this.about.resource} back`);
        await this.#claim.release();
        throw new Error("the handler gave back what it had");
    }
  }

  /** Its completion follows once the handler has returned. */
  #return(): undefined {
    const { result } = this;
    const op = this.#begin({ completes: true, publishes: false, result });
    openCompletions.set(this.#delivery, { op, ...this.about, result });
  }

  #complete(): Promise<unknown> {
    return this.#fenced({ completes: true, publishes: false, result: String(undefined) }, () => this.#claim.complete(), true);
  }

  #completeWith(): Promise<unknown> {
    const result = "assigned";
    return this.#fenced({ completes: true, publishes: true, result }, () =>
      this.#claim.complete(async (tx) => {
        await tx.query("insert");
        await tx.publish("assigned", null);
        return result;
      }),
    );
  }

  /** Publishes in a transaction that comes to nothing. */
  failInside(): Promise<unknown> {
    return this.#fenced({ completes: false, publishes: true }, () =>
      this.#claim.complete(async (tx) => {
        await tx.publish("assigned", null);
        throw new Error("the work in the transaction fails");
      }),
    );
  }

  async #fenced(kind: WriteKind, act: () => Promise<unknown>, isStatement = false): Promise<unknown> {
    const op = this.#begin(kind);
    try {
      const value = await act();
      this.#tell("ok", op, kind);
      return value;
    } catch (error) {
      const phase = phaseOf(error, isStatement);
      this.#tell(phase, op, kind);
      throw error;
    }
  }

  /** Field by field: there are many of these, and one shape of them is quick to make and to read. */
  #tell(phase: Write["phase"], op: string, { completes, publishes = false, result = "none" }: WriteKind): void {
    const { process, chronicle } = this.#ports;
    const { delivery, resource, token } = this.about;
    const at = process.nowMs();
    const write = { at, by: process.name, what: "write", phase, op, delivery, resource, token, completes } as const;
    chronicle.add(completes ? { ...write, publishes, result } : write);
  }

  #begin(kind: WriteKind): string {
    this.#ops += 1;
    const op = `${this.#delivery.id}/${this.#ops}`;
    this.#tell("invoke", op, kind);
    return op;
  }
}

/**
 * Whether it is certain that a write which threw was not committed. A transaction says so; a statement of its own that was refused may
 * have been done by an earlier call whose answer was lost, and undone by others since.
 */
export function phaseOf(error: unknown, isStatement: boolean): "fail" | "info" {
  if (isExclaimError(error, "COMMIT_UNKNOWN")) return "info";
  if (!isStatement) return "fail";
  return NOT_COMMITTED.some((code) => isExclaimError(error, code)) ? "fail" : "info";
}
