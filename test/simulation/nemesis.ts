import type { Chronicle } from "./chronicle.ts";
import type { CallFault, CommitFault, DeliveryFault, FaultPlan, Plan, ProcessFault, WorldFault } from "./plan.ts";
import type { Scheduler } from "./scheduler.ts";

export type Service = "database" | "lock" | "broker" | "sink";

/** Which fault is due, by the numbers that the plan gives; and which service is away. Nothing happens once the world is calm. */
export class Nemesis {
  readonly #plan: Plan;
  readonly #scheduler: Scheduler;
  readonly #chronicle: Chronicle;
  readonly #awayUntilMs: Record<Service, number> = { database: 0, lock: 0, broker: 0, sink: 0 };
  readonly #done = new Set<FaultPlan>();
  /** What the faults of the plan that concern the whole world do. */
  onWorldFault: (fault: WorldFault, id: string) => void = () => {};
  #events = 0;
  readonly #calls: readonly CallFault[];
  readonly #commits: readonly CommitFault[];
  readonly #processes: readonly ProcessFault[];
  readonly #world: readonly WorldFault[];
  readonly #deliveries: readonly DeliveryFault[];

  constructor(plan: Plan, scheduler: Scheduler, chronicle: Chronicle) {
    this.#plan = plan;
    this.#scheduler = scheduler;
    this.#chronicle = chronicle;
    this.#calls = plan.faults.filter((fault) => "call" in fault);
    this.#commits = plan.faults.filter((fault) => "commit" in fault);
    this.#processes = plan.faults.filter((fault) => "process" in fault && "event" in fault);
    this.#world = plan.faults.filter((fault): fault is WorldFault => "event" in fault && !("process" in fault));
    this.#deliveries = plan.faults.filter((fault) => "delivery" in fault);
  }

  /** What is left of the time of faults. */
  leftMs(): number {
    return this.#plan.calmAtMs - this.#scheduler.nowMs;
  }

  atCall(process: number, call: number): CallFault | undefined {
    for (const fault of this.#calls) {
      if (fault.call === call && fault.process === process && this.#takes(fault)) return fault;
    }
    return undefined;
  }

  atCommit(process: number, commit: number): CommitFault | undefined {
    for (const fault of this.#commits) {
      if (fault.commit === commit && fault.process === process && this.#takes(fault)) return fault;
    }
    return undefined;
  }

  /** Called for each event of a process. */
  atEvent(process: number, event: number): ProcessFault | undefined {
    this.#events += 1;
    for (const fault of this.#world) {
      if (fault.event === this.#events && this.#takes(fault)) this.onWorldFault(fault, this.idOf(fault));
    }
    for (const fault of this.#processes) {
      if (fault.event === event && fault.process === process && this.#takes(fault)) return fault;
    }
    return undefined;
  }

  atDelivery(delivery: number, kind: DeliveryFault["kind"]): DeliveryFault | undefined {
    for (const fault of this.#deliveries) {
      if (fault.delivery === delivery && fault.kind === kind && this.#takes(fault)) return fault;
    }
    return undefined;
  }

  idOf(fault: FaultPlan): string {
    return `f${this.#plan.faults.indexOf(fault) + 1}`;
  }

  /** Logs that a fault came about; `forMs` when it lasts. */
  hit(fault: FaultPlan, target: string, forMs?: number, breaksExclusion = false): void {
    const id = this.idOf(fault);
    const about = { id, kind: fault.kind, target, ...(breaksExclusion ? { breaksExclusion } : {}) };
    const at = this.#scheduler.nowMs;
    this.#chronicle.fault({ at, ...about, phase: "injected" });
    this.#chronicle.fault({ at, ...about, phase: "hit" });
    if (forMs === undefined) return;
    this.#scheduler.at(at + forMs, () => this.#chronicle.fault({ at: this.#scheduler.nowMs, ...about, phase: "healed" }));
  }

  takeAway(service: Service, forMs: number): void {
    this.#awayUntilMs[service] = this.#scheduler.nowMs + forMs;
  }

  isAway(service: Service, atMs: number): boolean {
    return atMs < this.#awayUntilMs[service];
  }

  #takes(fault: FaultPlan): boolean {
    if (this.leftMs() <= 0 || this.#done.has(fault)) return false;
    this.#done.add(fault);
    return true;
  }
}
