/** What a search is to find: nothing, or a counter-example. */
export type Expectation = "pass" | "fail";

/** One search through a model: the protocol as it is, or a variant that must fail. */
export interface Model {
  /** Shape: the file, and after a slash what is planted or looked for in it. */
  readonly name: string;
  /** A file of this folder. */
  readonly file: string;
  /** Macros of the file that are set: `NO_FENCE`, `CRASHES=2`. */
  readonly defines: readonly string[];
  readonly expected: Expectation;
  /** For a search that must fail: the promise it must break, as the comment at its assertion names it. */
  readonly breaks?: string;
  /** Looks for a run without end in which the file's formula never holds, under weak fairness. @default assertions and end states */
  readonly liveness?: true;
  /** What the search covers, for people. */
  readonly bounds: string;
  /** Steps after which a search gives up, and is an error. @default 1_000_000 */
  readonly maxDepth?: number;
  /** Memory after which it does, in megabytes. @default 2_000 */
  readonly maxMemoryMb?: number;
}
