import { spawn } from "node:child_process";

export interface ProgramRun {
  /** Null: it was ended by a signal. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly seconds: number;
}

export interface ProgramTerms {
  readonly cwd: string;
  readonly env: NodeJS.ProcessEnv;
  /** A bug may hang what is run. */
  readonly limitMs: number;
}

/** Runs a program of Node's to its end, or to its time limit. */
export async function runProgram(args: readonly string[], { cwd, env, limitMs }: ProgramTerms): Promise<ProgramRun> {
  const startedAt = performance.now();
  const child = spawn(process.execPath, [...args], {
    cwd,
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "pipe"],
    timeout: limitMs,
    killSignal: "SIGKILL",
  });
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
  });
  const code = await new Promise<number | null>((resolve) => child.once("close", resolve));
  return { code, stdout, stderr, seconds: (performance.now() - startedAt) / 1_000 };
}
