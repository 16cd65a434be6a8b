import type { CliDeps } from "./cli-deps.ts";

/** What a command is added with. */
export interface Cli {
  readonly deps: CliDeps;
  /** Runs a command; what it resolves to is the exit code. */
  run(command: () => Promise<number>): Promise<void>;
}
