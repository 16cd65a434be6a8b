import type { Chronicle } from "./chronicle.ts";
import type { Plan } from "./plan.ts";
import type { Scheduler } from "./scheduler.ts";
import type { SeededRandom } from "./seeded-random.ts";
import type { OutboxEffect } from "./sim-database.ts";

/** The receiver outside: of effects that handlers send, and of what the outbox delivers, at least once. */
export class SimSink {
  readonly #plan: Plan;
  readonly #scheduler: Scheduler;
  readonly #chronicle: Chronicle;
  readonly #chance: SeededRandom;
  #arrivals = 0;

  constructor(plan: Plan, scheduler: Scheduler, chronicle: Chronicle, chance: SeededRandom) {
    this.#plan = plan;
    this.#scheduler = scheduler;
    this.#chronicle = chronicle;
    this.#chance = chance;
  }

  /** A message of the outbox is on its way: seldom twice, as a dispatcher that dies after sending does. */
  dispatch(id: string, effect: OutboxEffect): void {
    const times = this.#chance.chance(0.1) ? 2 : 1;
    for (let time = 0; time < times; time += 1) {
      const atMs = this.#scheduler.nowMs + this.#plan.latencyMs * (1 + this.#chance.fraction() * 5);
      this.#scheduler.at(atMs, () => this.arrive(id, "outbox", effect));
    }
  }

  arrive(key: string, via: "outbox" | "direct", effect: OutboxEffect): void {
    this.#arrivals += 1;
    this.#chronicle.add({ at: this.#scheduler.nowMs, by: "sink", what: "effect", n: this.#arrivals, key, via, ...effect });
  }
}
