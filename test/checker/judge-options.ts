/** What a run must have tried before its silence says something, and how far its clocks are trusted. */
export interface JudgeOptions {
  /** Deliveries, fenced writes and settlements that were begun. @default 100 */
  readonly minOperations?: number;
  /** Faults that were seen to hit. @default 1 */
  readonly minFaultsHit?: number;
  /** Calls whose caller never learned their end. @default 1, but 0 where no fault is asked for */
  readonly minUnknownAnswers?: number;
  /** Completions that were confirmed, or seen in the ledger. @default 1 */
  readonly minCompletions?: number;
  /** A time within which all must be done after the faults need not be given. @default false */
  readonly mayRestAtAnyTime?: boolean;
  /** The ledger's witness tells of each renewal too, as `held` again. @default false */
  readonly seesRenewals?: boolean;
  /** How far the time of an audit trigger may be off that of a process: it is converted from the database's clock. @default 5 */
  readonly clockErrorMs?: number;
  /** A trigger fires before its transaction commits: by this much at most. @default 2,000 */
  readonly commitLagMs?: number;
}

export const DEFAULT_MIN_OPERATIONS = 100;
export const DEFAULT_MIN_FAULTS_HIT = 1;
export const DEFAULT_MIN_UNKNOWN_ANSWERS = 1;
export const DEFAULT_MIN_COMPLETIONS = 1;
export const DEFAULT_CLOCK_ERROR_MS = 5;
export const DEFAULT_COMMIT_LAG_MS = 2_000;

/** For one seed of a simulation, whose clock is exact: many seeds together try enough. */
export const SIMULATED_RUN: JudgeOptions = {
  minOperations: 0,
  minFaultsHit: 0,
  minUnknownAnswers: 0,
  minCompletions: 0,
  mayRestAtAnyTime: true,
  seesRenewals: true,
  clockErrorMs: 0,
  commitLagMs: 0,
};
