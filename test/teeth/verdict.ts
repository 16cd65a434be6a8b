import type { Control, Mutant } from "./mutant.ts";
import type { CheckRun } from "./run-check.ts";

/** What came of planting one bug. */
export interface Verdict extends CheckRun {
  readonly mutant: Mutant;
}

/** What came of making one harmless change. */
export interface ControlVerdict extends CheckRun {
  readonly control: Control;
}

/** The object that `--json` prints. */
export interface Summary {
  /** Bugs that were planted. */
  readonly total: number;
  readonly caught: number;
  /** The bugs that nothing caught. */
  readonly survivors: readonly string[];
  readonly mutants: readonly {
    readonly bug: string;
    readonly file: string;
    readonly caughtBy: string | null;
    readonly seconds: number;
  }[];
  /** Harmless changes. `caughtBy` is null, or they are no longer harmless. */
  readonly controls: readonly {
    readonly bug: string;
    readonly file: string;
    readonly reason: string;
    readonly caughtBy: string | null;
  }[];
}

export function summaryOf(verdicts: readonly Verdict[], controls: readonly ControlVerdict[]): Summary {
  const survivors = verdicts.filter(({ caughtBy }) => caughtBy === undefined).map(({ mutant }) => mutant.bug);
  return {
    total: verdicts.length,
    caught: verdicts.length - survivors.length,
    survivors,
    mutants: verdicts.map(({ mutant: { bug, file }, caughtBy, seconds }) => {
      return { bug, file, caughtBy: caughtBy ?? null, seconds: Math.round(seconds * 10) / 10 };
    }),
    controls: controls.map(({ control: { bug, file, reason }, caughtBy }) => {
      return { bug, file, reason, caughtBy: caughtBy ?? null };
    }),
  };
}
