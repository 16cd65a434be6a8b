import { readHistory } from "../checker/read-history.ts";
import type { EpisodePlan } from "./episode-plan.ts";

/** How many faults were injected, and how many of them hit, by kind and by back-end. */
export class FaultTally {
  #injected = 0;
  readonly #byKind = new Map<string, number>();
  readonly #byBackend = new Map<string, number>();
  readonly #cells = new Set<string>();

  /** Counts those of an episode's logs. */
  add({ broker, lock }: EpisodePlan, folder: string): void {
    for (const event of readHistory(folder).events) {
      if (event.what !== "fault") continue;
      if (event.phase === "injected") this.#injected += 1;
      if (event.phase !== "hit") continue;
      count(this.#byKind, event.kind.replace(/ at (F\d|any moment).*/, ""));
      count(this.#byBackend, `${broker}, ${lock}`);
      if (/ at F\d/.test(event.kind)) this.#cells.add(`${broker}, ${lock}, ${event.kind}`);
    }
  }

  counts() {
    return {
      faultsInjected: this.#injected,
      faultsHit: [...this.#byKind.values()].reduce((sum, hits) => sum + hits, 0),
      byKind: Object.fromEntries([...this.#byKind].sort(([, one], [, other]) => other - one)),
      /** Different faults at failpoints, each at its own, of a broker and a lock. */
      cellsHit: this.#cells.size,
      byBackend: Object.fromEntries([...this.#byBackend].sort()),
    };
  }
}

function count(counts: Map<string, number>, name: string): void {
  counts.set(name, (counts.get(name) ?? 0) + 1);
}
