import type { Stage } from "../stage.ts";
import type { Spread } from "../statistics.ts";

/** Work that was done at one go, and how long it took. */
export interface Round {
  readonly done: number;
  readonly ms: number;
}

/** A case that is ready to be measured. */
export interface OpenCase {
  /** Does a round's work, all of it. The program plays the rounds of a group's cases in turns, the first one to warm up. */
  round(): Promise<Round>;
  /** After the last round. Throws unless what was promised holds: every claimant has one row, every row one claimant, nothing is left over. */
  verify(): Promise<void>;
  /** What a case found out beside its rate: a name with its unit, and the figure. */
  facts?(): Promise<Readonly<Record<string, number>>>;
  close(): Promise<void>;
}

/** One line of the table. */
export interface BenchCase {
  /** As `--only` and the report name it. */
  readonly name: string;
  /** Connects to what the group has started, makes its own tables and queues. */
  open(): Promise<OpenCase>;
}

/** Cases that are measured in turns, on the same servers. */
export interface BenchGroup {
  /** As `--only` names all of it. */
  readonly name: string;
  /** Above its table. */
  readonly title: string;
  readonly cases: readonly string[];
  /** Names of cases that others are compared with. */
  readonly baselines: {
    readonly toHandWritten?: string;
    readonly toNoop?: string;
    readonly toLimit?: (name: string) => string;
  };
  /** Starts the servers that the named cases need, on the stage, and gives these cases, in the order they are named. */
  begin(stage: Stage, sizes: BenchSizes, names: readonly string[]): Promise<readonly BenchCase[]>;
  /** Lines below its table: what the cases say together. */
  summary?(reports: readonly CaseReport[]): readonly string[];
}

export interface BenchSizes {
  /** Shows only that everything runs and that the invariants hold: as little as possible of everything. */
  readonly smoke: boolean;
  /** Rounds that count, after one that warms up. */
  readonly rounds: number;
}

export interface CaseReport {
  readonly name: string;
  readonly perSecond: Spread;
  /** Of the medians. */
  readonly ratios: { readonly toHandWritten?: number; readonly toNoop?: number; readonly toLimit?: number };
  readonly facts?: Readonly<Record<string, number>>;
}
