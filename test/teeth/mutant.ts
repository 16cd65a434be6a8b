/** One bug, planted on purpose, and the check that must catch it. */
export interface Mutant {
  /** What somebody could get wrong, as a phrase. */
  readonly bug: string;
  /** The file it is planted in, from the root of the project. */
  readonly file: string;
  /** Text that stands in the file exactly once. */
  readonly instead: string;
  /** What takes its place. */
  readonly plant: string;
  /** More places of the same bug, in the same file or in another. */
  readonly also?: readonly Place[];
  readonly caughtBy: Check;
}

/** One more place of a bug. */
export interface Place {
  /** @default the file of the bug */
  readonly file?: string;
  /** Text that stands in the file exactly once, also after the places before were planted. */
  readonly instead: string;
  readonly plant: string;
}

/** A change that looks like a bug and breaks no promise. */
export interface Control extends Omit<Mutant, "caughtBy"> {
  /** Why nothing breaks. */
  readonly reason: string;
  /** What passes all the same. */
  readonly passes: Check;
}

export type Check = TestCheck | SimulationCheck;

/** The few tests of the project `main` that are run. Any of them may catch the bug. */
export interface TestCheck {
  readonly files: readonly string[];
  /** Of the suites over all lock products, those of these alone: files in test/lock/products/. */
  readonly products?: readonly string[];
  /** A regular expression that the full titles of the tests match. @default all tests of the files */
  readonly titles?: string;
}

/** The deterministic simulation, from its first seed on. */
export interface SimulationCheck {
  readonly sim: {
    readonly seeds: number;
    /** The first invariant that is broken must be one of these, as "I4", or it was not this bug that broke it. @default any */
    readonly breaks?: readonly string[];
  };
}

export function isSimulation(check: Check): check is SimulationCheck {
  return "sim" in check;
}
