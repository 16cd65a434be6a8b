/** Where a system keeps its jobs. */
export interface PickPlace {
  readonly databaseUrl: string;
  /** The system's own, made by itself. */
  readonly schema: string;
}

/** A system that gives every job to exactly one of its takers. */
export interface Picker {
  /** Adds jobs with the payloads `{ user: first }` and following. After: they are waiting, and statistics are fresh. */
  add(first: number, count: number): Promise<void>;
  /**
   * Takes waiting jobs and tells `onJob` of each, until it has told of `count`.
   * After: all that were taken are completed, durably.
   */
  drain(count: number, onJob: (user: number) => void): Promise<void>;
  /** Jobs that are not completed, or more often than once. */
  left(): Promise<number>;
  close(): Promise<void>;
}
