import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { fileURLToPath } from "node:url";
import { freezeTree, thawTree } from "../test/support/process-tree.ts";
import { Watchdog } from "../test/support/watchdog.ts";
import type { Stage } from "./stage.ts";

/** What a child can be asked, and what it answers. */
export type Calls = Record<string, { readonly ask: unknown; readonly answer: unknown }>;

/** How a child fares. */
export interface Condition {
  /** Rejections and exceptions that nobody caught. */
  readonly uncaught: readonly string[];
  /** The longest that its event loop kept a timer waiting since it was last asked, in ms. */
  readonly latestTimerMs: number;
}

const SAMPLE_MS = 5;

interface Answer {
  readonly id: number;
  readonly value?: unknown;
  readonly error?: string;
}

/**
 * A process that runs one package, so that its stalls, pauses and uncaught errors are its own.
 * It ends with this process, however that ends, also when it is paused.
 */
export class Child<C extends Calls> {
  readonly #process: ChildProcess;
  readonly #waiting = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>();
  #asked = 0;

  private constructor(child: ChildProcess) {
    this.#process = child;
    child.on("message", (message) => this.#settle(message as Answer));
    child.once("exit", (code, signal) => {
      for (const { reject } of this.#waiting.values()) reject(new Error(`a child ended with ${code ?? signal}`));
    });
  }

  /** `file`: beside this one, and calls `serve`. */
  static start<C extends Calls>(stage: Stage, file: string): Child<C> {
    const forked = fork(fileURLToPath(new URL(file, import.meta.url)), { stdio: ["ignore", "inherit", "inherit", "ipc"] });
    const folder = mkdtempSync(join(tmpdir(), "exclaim-bench-"));
    const watchdog = new Watchdog(folder, "SIGKILL");
    watchdog.watch(forked.pid ?? 0);
    stage.atEnd(async () => {
      if (forked.exitCode === null && forked.signalCode === null) {
        const exited = once(forked, "exit");
        forked.kill("SIGKILL");
        await exited;
      }
      rmSync(folder, { recursive: true, force: true });
      await watchdog.dismiss();
    });
    return new Child<C>(forked);
  }

  ask<K extends keyof C & string>(name: K, ask: C[K]["ask"]): Promise<C[K]["answer"]> {
    this.#asked += 1;
    const id = this.#asked;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#process.send({ id, name, ask });
    });
  }

  condition(): Promise<Condition> {
    return this.ask("condition", undefined) as Promise<Condition>;
  }

  /** Stops it where it is (SIGSTOP). */
  pause(): void {
    freezeTree(this.#process.pid ?? 0);
  }

  resume(): void {
    thawTree(this.#process.pid ?? 0);
  }

  #settle({ id, value, error }: Answer): void {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (error === undefined) waiting?.resolve(value);
    else waiting?.reject(new Error(error));
  }
}

/** The child's side: answers what it is asked, until the parent is gone. */
export function serve<C extends Calls>(
  handlers: { readonly [K in keyof C]: (ask: C[K]["ask"]) => Promise<C[K]["answer"]> },
): void {
  const uncaught: string[] = [];
  const note = (error: unknown): void => void uncaught.push(error instanceof Error ? error.message : String(error));
  process.on("unhandledRejection", note);
  process.on("uncaughtException", note);
  const delays = monitorEventLoopDelay({ resolution: SAMPLE_MS });
  delays.enable();
  const condition = async (): Promise<Condition> => {
    const latestTimerMs = Math.max(0, delays.max / 1e6 - SAMPLE_MS);
    delays.reset();
    return { uncaught, latestTimerMs };
  };
  const all: Record<string, (ask: never) => Promise<unknown>> = { ...handlers, condition };
  process.on("message", async ({ id, name, ask }: { id: number; name: string; ask: never }) => {
    const answer = await Promise.resolve(ask)
      .then(all[name])
      .then(
        (value): Answer => ({ id, value }),
        (error: unknown): Answer => ({ id, error: String(error) }),
      );
    process.send?.(answer);
  });
  process.once("disconnect", () => process.exit());
}
