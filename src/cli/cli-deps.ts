import type { ProgressStream } from "./progress.ts";

/** Where results are written. */
export interface ResultStream {
  readonly isTTY?: boolean;
  write(text: string, done?: (error?: Error | null) => void): unknown;
}

/** Where a person may answer. */
export interface AnswerStream extends NodeJS.ReadableStream {
  readonly isTTY?: boolean;
}

/** What a command has of the outside: a test passes its own. */
export interface CliDeps {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Results and nothing else. */
  readonly stdout: ResultStream;
  /** Progress, warnings and errors. */
  readonly stderr: ProgressStream;
  readonly stdin: AnswerStream;
  /** Aborted with an `Interrupted` when the process is told to end. */
  readonly signal: AbortSignal;
}
