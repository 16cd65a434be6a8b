import type { MemoryLedger } from "../../src/ledger/memory.ts";
import type { HistoryEvent } from "../checker/history.ts";
import { Chronicle } from "./chronicle.ts";
import { Nemesis } from "./nemesis.ts";
import { Network } from "./network.ts";
import type { Plan, ProcessFault, WorldFault } from "./plan.ts";
import { Pod } from "./pod.ts";
import { restWithinMs } from "./rest-time.ts";
import { Scheduler } from "./scheduler.ts";
import { SeededRandom } from "./seeded-random.ts";
import { SimBroker } from "./sim-broker.ts";
import { SimDatabase } from "./sim-database.ts";
import { SimLockServer } from "./sim-lock.ts";
import { type Seat, SimProcess } from "./sim-process.ts";
import { SimSink } from "./sim-sink.ts";

/** What one run came to. */
export interface Run {
  readonly plan: Plan;
  readonly history: readonly HistoryEvent[];
  readonly chronicle: Chronicle;
  readonly events: number;
  readonly virtualMs: number;
}

/** A run that has not come to rest so long after the last fault is stopped: it is judged by less. */
const STOP_AFTER_MS = 1_500_000;
/** A run that does not come to rest is stopped here: it goes round in a circle. */
const MAX_EVENTS = 20_000;
const DRAIN_MS = 100;
/** How long what is still on its way after that is waited for, in usual latencies. */
const AFTERMATH_LATENCIES = 10;

/** A bug to see found: what wraps the database's ledger or the lock server, for every process. */
export interface Planted {
  readonly ledger?: (ledger: MemoryLedger) => MemoryLedger;
}

export interface RunOptions {
  /** Also collects what a person wants to know. @default false */
  readonly isTold?: boolean;
  readonly planted?: Planted;
}

/** Runs a plan to its end. */
export async function runPlan(plan: Plan, options: RunOptions = {}): Promise<Run> {
  return await new World(plan, options).run();
}

/** Everything there is: processes, database, lock server, broker, receiver, and who breaks them. */
class World {
  readonly #plan: Plan;
  readonly #scheduler = new Scheduler();
  readonly #chronicle: Chronicle;
  readonly #nemesis: Nemesis;
  readonly #network: Network;
  readonly #database: SimDatabase;
  readonly #lockServer: SimLockServer;
  readonly #broker: SimBroker;
  readonly #sink: SimSink;
  readonly #seats: readonly Seat[];
  readonly #pods = new Map<SimProcess, Pod>();
  #isCalm = false;

  constructor(plan: Plan, { isTold = false, planted = {} }: RunOptions) {
    this.#plan = plan;
    this.#chronicle = new Chronicle(isTold);
    this.#nemesis = new Nemesis(plan, this.#scheduler, this.#chronicle);
    this.#network = new Network(plan, this.#scheduler, this.#nemesis, this.#chronicle);
    const chance = new SeededRandom(plan.seed, 1);
    this.#sink = new SimSink(plan, this.#scheduler, this.#chronicle, chance);
    this.#database = new SimDatabase({
      plan,
      scheduler: this.#scheduler,
      chronicle: this.#chronicle,
      plantedLedger: planted.ledger,
      onPublished: (id, effect) => this.#sink.dispatch(id, effect),
    });
    this.#lockServer = new SimLockServer(this.#scheduler, this.#chronicle);
    const { ttlMs } = plan;
    const intervalMs = plan.resource.mode === "exclusive" ? plan.resource.minIntervalMs : 0;
    const mayRerun = plan.onReplay === "rerun";
    const rows = Object.values(plan.rows).reduce((sum, count) => sum + count, 0);
    this.#chronicle.add({
      at: 0,
      by: "nemesis",
      what: "frame",
      mark: "began",
      seed: plan.seed,
      rows,
      mayRerun,
      ttlMs,
      intervalMs,
    });
    this.#broker = new SimBroker({
      plan,
      scheduler: this.#scheduler,
      chronicle: this.#chronicle,
      nemesis: this.#nemesis,
      chance,
    });
    this.#seats = Array.from({ length: plan.processes }, (_, index) => ({
      index,
      chance: new SeededRandom(plan.seed, index + 2),
      events: 0,
      calls: 0,
      commits: 0,
      incarnations: 0,
    }));
    this.#nemesis.onWorldFault = (fault) => this.#breakWorld(fault);
  }

  async run(): Promise<Run> {
    try {
      await this.#live();
    } catch (error) {
      const at = this.#scheduler.nowMs;
      this.#chronicle.add({ at, by: "runtime", what: "escaped", kind: "exception", detail: String(error) });
    }
    if (!this.#isCalm) this.#calm();
    this.#database.dump();
    this.#broker.dump();
    const at = this.#scheduler.nowMs;
    this.#chronicle.add({ at, by: "nemesis", what: "frame", mark: "ended", hasDump: true });
    const { events } = this.#scheduler;
    return { plan: this.#plan, history: this.#chronicle.history, chronicle: this.#chronicle, events, virtualMs: at };
  }

  async #live(): Promise<void> {
    const { calmAtMs } = this.#plan;
    for (const seat of this.#seats) this.#start(seat);
    this.#scheduler.at(calmAtMs, () => this.#calm());
    const lastMs = calmAtMs + STOP_AFTER_MS;
    const isOut = () => this.#scheduler.events > MAX_EVENTS || this.#scheduler.nowMs > lastMs;
    await this.#scheduler.run(() => isOut() || this.#isAtRest());
    if (!isOut()) await this.#end();
  }

  #isAtRest(): boolean {
    if (this.#broker.open > 0) return false;
    for (const [process, { serving }] of this.#pods) if (process.isAlive && serving > 0) return false;
    return true;
  }

  /** All that still runs is closed in order, and what is on its way arrives. */
  async #end(): Promise<void> {
    let closed = 0;
    const living = [...this.#pods].filter(([process]) => process.isAlive);
    for (const [process, pod] of living) {
      void pod.close(DRAIN_MS).then(() => {
        this.#lookForLeft(process);
        closed += 1;
      });
    }
    await this.#scheduler.run(() => closed === living.length);
    const untilMs = this.#scheduler.nowMs + this.#plan.latencyMs * AFTERMATH_LATENCIES;
    this.#scheduler.at(untilMs, () => {});
    await this.#scheduler.run(() => this.#scheduler.nowMs >= untilMs);
  }

  #start(seat: Seat): void {
    const process = new SimProcess(seat, {
      scheduler: this.#scheduler,
      nemesis: this.#nemesis,
      onFault: (stricken, fault) => this.#breakProcess(stricken, fault),
    });
    this.#chronicle.note(this.#scheduler.nowMs, process.name, () => "starts");
    const pod = new Pod({
      plan: this.#plan,
      process,
      chronicle: this.#chronicle,
      network: this.#network,
      database: this.#database,
      lockServer: this.#lockServer,
      broker: this.#broker,
      sink: this.#sink,
    });
    this.#pods.set(process, pod);
  }

  /** The time of faults is over. */
  #calm(): void {
    this.#isCalm = true;
    const at = this.#scheduler.nowMs;
    const withinMs = restWithinMs(this.#plan, this.#broker.leftOver());
    this.#chronicle.add({ at, by: "nemesis", what: "frame", mark: "calm", withinMs });
  }

  /** What lasts is over when the world is calm. */
  #lastingMs(forMs: number): number {
    return Math.min(forMs, this.#nemesis.leftMs());
  }

  #breakProcess(process: SimProcess, fault: ProcessFault): void {
    const forMs = this.#lastingMs(fault.forMs);
    switch (fault.kind) {
      case "crash":
        this.#nemesis.hit(fault, process.name, forMs);
        this.#stop(process);
        this.#startLater(process.seat, forMs);
        break;
      case "pause":
      case "stall":
        this.#nemesis.hit(fault, process.name, forMs);
        process.stall(forMs);
        break;
      case "close":
        this.#nemesis.hit(fault, process.name, forMs);
        void this.#pods
          .get(process)
          ?.close(DRAIN_MS)
          .then(() => {
            this.#lookForLeft(process);
            this.#chronicle.note(this.#scheduler.nowMs, process.name, () => "has closed and ends");
            this.#stop(process);
            this.#startLater(process.seat, Math.max(0, this.#lastingMs(forMs)));
          });
        break;
    }
  }

  /** Who closed in order, got all its answers in time and lost no claim, has given back all it had. */
  #lookForLeft(process: SimProcess): void {
    if (process.unanswered + process.underWay + process.lostClaims > 0) return;
    // What it closes at the end of a loop of its own is ended by its own time, which is ahead.
    const at = process.nowMs();
    const stamp = { at, by: process.name, what: "escaped" } as const;
    for (const detail of this.#lockServer.leftBy(process.name, at))
      this.#chronicle.add({ ...stamp, kind: "left-lock", detail });
    for (const detail of this.#database.witness.leftBy(process.name, at)) {
      this.#chronicle.add({ ...stamp, kind: "left-lease", detail });
    }
  }

  #startLater(seat: Seat, forMs: number): void {
    this.#scheduler.at(this.#scheduler.nowMs + forMs, () => this.#start(seat));
  }

  #stop(process: SimProcess): void {
    process.isAlive = false;
    this.#pods.delete(process);
    this.#broker.unsubscribe(process);
    const atMs = this.#scheduler.nowMs + this.#plan.latencyMs;
    this.#scheduler.at(atMs, () => {
      this.#database.abortAll(process);
      if (this.#plan.broker.noticesCrash) this.#broker.disconnect(process);
    });
  }

  #breakWorld(fault: WorldFault): void {
    const forMs = this.#lastingMs(fault.forMs);
    switch (fault.kind) {
      case "locks-forgotten":
        this.#lockServer.forget();
        this.#nemesis.hit(fault, "lock", this.#plan.ttlMs, true);
        break;
      case "lock-clock-jump":
        this.#lockServer.jump(fault.forMs);
        this.#nemesis.hit(fault, "lock", this.#plan.ttlMs, true);
        break;
      case "database-away":
        this.#nemesis.takeAway("database", forMs);
        this.#nemesis.hit(fault, "database", forMs);
        break;
      case "lock-away":
        this.#nemesis.takeAway("lock", forMs);
        this.#nemesis.hit(fault, "lock", forMs);
        break;
      case "broker-away":
        this.#nemesis.takeAway("broker", forMs);
        this.#nemesis.hit(fault, "broker", forMs);
        break;
    }
  }
}
