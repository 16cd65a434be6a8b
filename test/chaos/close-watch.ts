import { join } from "node:path";
import type { Fault, HistoryEvent } from "../checker/history.ts";
import { type HistoryLog, monotonicMs, readLog } from "./history-log.ts";
import { type Keepers, leftBehind } from "./left-behind.ts";
import type { Closed } from "./pod-messages.ts";

/** In times of a lease: for so long a fault may have left something that the process does not know of. */
const DISTURBS_TTLS = 2;

/** Faults of a process's own in which no call was broken off. */
const HARMLESS = /^throw at F(0|9|10|11) |^close at /;

/** A process that has ended after it closed in order. */
export interface EndedPod extends Closed {
  readonly pod: string;
  /** When it began to close. */
  readonly atMs: number;
  /** It was told to while it worked, and not because the episode is over. */
  readonly isAtWork: boolean;
}

/** Looks for what processes that closed in order left behind, and writes it down. */
export class CloseWatch {
  /** How many that closed at work, and were disturbed by nothing else, were looked at. */
  judged = 0;
  readonly #folder: string;
  readonly #ttlMs: number;
  readonly #keepers: Keepers;
  readonly #log: HistoryLog;
  readonly #looking = new Set<Promise<void>>();

  constructor(place: { readonly folder: string; readonly ttlMs: number }, keepers: Keepers, log: HistoryLog) {
    this.#folder = place.folder;
    this.#ttlMs = place.ttlMs;
    this.#keepers = keepers;
    this.#log = log;
  }

  /** At once: what was left lasts no longer than a lease. */
  look(closed: EndedPod): void {
    // A server that was struck meanwhile tells nothing, and then nothing is known.
    const looking = this.#look(closed, monotonicMs())
      .catch(() => {})
      .finally(() => this.#looking.delete(looking));
    this.#looking.add(looking);
  }

  /** Resolves once nothing is looked for any more. */
  async ended(): Promise<void> {
    await Promise.all(this.#looking);
  }

  async #look({ pod, atMs, isDrained, isAtWork, owners }: EndedPod, endedAt: number): Promise<void> {
    // What is broken off when the time for it is over may be left.
    if (!isDrained) return;
    const events = this.#eventsOf(pod);
    const left = await leftBehind({ pod, events, owners }, this.#keepers);
    const faults = [...events, ...this.#eventsOf(this.#log.by)].filter((event) => event.what === "fault");
    if (isDisturbed(faults, pod, { fromMs: atMs - DISTURBS_TTLS * this.#ttlMs, toMs: endedAt })) return;
    if (isAtWork) this.judged += 1;
    for (const found of left) this.#log.write({ what: "escaped", ...found });
  }

  #eventsOf(by: string): readonly HistoryEvent[] {
    return readLog(join(this.#folder, `${by}.jsonl`));
  }
}

/** Whether a server or the process itself was struck at any moment of that time. */
export function isDisturbed(
  faults: readonly Fault[],
  pod: string,
  { fromMs, toMs }: { readonly fromMs: number; readonly toMs: number },
): boolean {
  const ours = faults.filter(({ target, kind }) => (target === pod || !target.startsWith("pod-")) && !HARMLESS.test(kind));
  const begun = ours.filter(({ phase, at }) => phase === "injected" && at <= toMs);
  return begun.some(({ id, at, target }) => {
    if (at >= fromMs) return true;
    const ends = ours.filter((fault) => fault.id === id && fault.phase !== "injected").map((fault) => fault.at);
    // A server is as before once it is healed; a fault of a process that is never told to be over was so at once.
    const endedAt = Math.max(...ends, target === pod ? at : Number.NEGATIVE_INFINITY);
    return endedAt === Number.NEGATIVE_INFINITY || endedAt >= fromMs;
  });
}
