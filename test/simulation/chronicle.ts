import type { Fault, HistoryEvent } from "../checker/history.ts";

/** What is told beside the history, for a person who reads it. */
export interface Note {
  readonly at: number;
  readonly by: string;
  readonly text: string;
}

/** Collects what happens in a run, as the checker reads it; and notes, where somebody wants a story. */
export class Chronicle {
  readonly history: HistoryEvent[] = [];
  /** In the order in which it happened, or undefined when nobody reads it. */
  readonly story: (HistoryEvent | Note)[] | undefined;
  readonly faults = new Map<string, number>();

  constructor(isTold: boolean) {
    this.story = isTold ? [] : undefined;
  }

  add(event: HistoryEvent): void {
    this.history.push(event);
    this.story?.push(event);
  }

  /** `text` is made only when it is read. */
  note(at: number, by: string, text: () => string): void {
    this.story?.push({ at, by, text: text() });
  }

  fault(fault: Omit<Fault, "what" | "by">): void {
    if (fault.phase === "hit") this.faults.set(fault.kind, (this.faults.get(fault.kind) ?? 0) + 1);
    this.add({ what: "fault", by: "nemesis", ...fault });
  }
}
