/** What the process that gets paused is asked. */
export interface PauseSetup {
  /** One of `PAUSE_USES`, by its name. */
  readonly use: string;
  readonly redisUrl: string;
  readonly databaseUrl: string;
  readonly schema: string;
  readonly ttlMs: number;
  /** Between two effects on a key. */
  readonly stepMs: number;
}

export type PauseCalls = {
  open: { ask: PauseSetup; answer: undefined };
  /** Takes the keys and begins to do effects on each. Resolves once all are held. */
  work: { ask: { readonly keys: readonly string[] }; answer: undefined };
  /** Ends the work, and says when it did an effect on each key, on the machine's monotonic clock. */
  report: { ask: undefined; answer: Readonly<Record<string, readonly number[]>> };
};
