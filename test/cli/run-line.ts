import { Readable } from "node:stream";
import type { CliDeps } from "../../src/cli/cli-deps.ts";
import { runCli } from "../../src/cli/run-cli.ts";

export interface LineOptions {
  readonly env?: Record<string, string>;
  /** What a person types, on a terminal. Without it there is no terminal. */
  readonly typed?: string;
  readonly signal?: AbortSignal;
  /** Told of what is written to stderr, as it is written. */
  readonly onStderr?: (text: string) => void;
  /** How many writes to stdout its reader takes before it goes away. */
  readonly reads?: number;
}

export interface LineResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command line in this process, with nothing of its environment. */
export async function runLine(args: readonly string[], options: LineOptions = {}): Promise<LineResult> {
  const { env = {}, typed, signal = new AbortController().signal, onStderr, reads = Number.POSITIVE_INFINITY } = options;
  let stdout = "";
  let stderr = "";
  let writes = 0;
  const isTTY = typed !== undefined;
  const deps: CliDeps = {
    env,
    stdout: {
      write(text, done) {
        writes += 1;
        if (writes > reads) return queueMicrotask(() => done?.(Object.assign(new Error("write EPIPE"), { code: "EPIPE" })));
        stdout += text;
        queueMicrotask(() => done?.());
      },
    },
    stderr: {
      isTTY,
      columns: 200,
      write(text) {
        stderr += text;
        onStderr?.(text);
      },
    },
    stdin: Object.assign(Readable.from(typed === undefined ? [] : [typed]), { isTTY }),
    signal,
  };
  const code = await runCli(args, deps);
  return { code, stdout, stderr };
}
