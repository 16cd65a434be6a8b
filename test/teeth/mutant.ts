/** One bug, planted on purpose, and the tests that must catch it. */
export interface Mutant {
  /** What somebody could get wrong, as a phrase. */
  readonly bug: string;
  /** The file it is planted in, from the root of the project. */
  readonly file: string;
  /** Text that stands in the file exactly once. */
  readonly instead: string;
  /** What takes its place. */
  readonly plant: string;
  /** More places of the same bug, in the same file. */
  readonly also?: readonly { readonly instead: string; readonly plant: string }[];
  readonly caughtBy: Check;
}

/** The few tests of the project `main` that are run. Any of them may catch the bug. */
export interface Check {
  readonly files: readonly string[];
  /** Of the suites over all lock products, those of these alone: files in test/lock/products/. */
  readonly products?: readonly string[];
  /** A regular expression that the full titles of the tests match. @default all tests of the files */
  readonly titles?: string;
}
