import type { PickPlace } from "./picker.ts";

export type PickerName = "graphile-worker" | "pg-boss";

/** What a process that runs a job queue can be asked: `begin` first, then `add` and `drain` in turns, `close` last. */
export type PickerCalls = {
  readonly begin: { readonly ask: PickPlace & { readonly picker: PickerName }; readonly answer: undefined };
  /** Jobs for the next users, 1, 2, 3 and so on. */
  readonly add: { readonly ask: number; readonly answer: undefined };
  /** Answers how long it took to take and complete them all, in ms. Throws unless each of them ran exactly once. */
  readonly drain: { readonly ask: undefined; readonly answer: number };
  readonly close: { readonly ask: undefined; readonly answer: undefined };
};
