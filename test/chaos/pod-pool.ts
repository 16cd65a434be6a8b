import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { monotonicMs } from "./history-log.ts";
import type { Assignment, FromPod, ToPod } from "./pod-messages.ts";

const SPARE_LIMIT_MS = 60_000;
const STOPPED_LIMIT_MS = 1_000;

/** Who is told what pods do. */
export interface PodWatcher {
  onMessage(pod: PodProcess, message: FromPod): void;
  onEnd(pod: PodProcess, signal: NodeJS.Signals | null, code: number | null): void;
}

/** A process that serves, from its assignment to its end. */
export class PodProcess {
  readonly name: string;
  readonly #child: ChildProcess;
  isServing = false;

  constructor(name: string, child: ChildProcess) {
    this.name = name;
    this.#child = child;
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  get hasEnded(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  tell(message: ToPod): void {
    if (this.#child.connected) this.#child.send(message, () => {});
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  async ended(): Promise<void> {
    if (!this.hasEnded) await once(this.#child, "exit");
  }

  /** Whether the kernel has stopped the process: state T. Looks for a moment. */
  async isStopped(): Promise<boolean> {
    const untilMs = monotonicMs() + STOPPED_LIMIT_MS;
    while (monotonicMs() < untilMs && !this.hasEnded) {
      if (stateOf(this.pid) === "T") return true;
      await delay(5);
    }
    return false;
  }
}

/** Processes that are started ahead of their need, so that a killed pod is replaced at once. */
export class PodPool {
  readonly #file: string;
  readonly #size: number;
  readonly #spares: Promise<ChildProcess>[] = [];
  readonly #children = new Set<ChildProcess>();

  constructor(file: string, size: number) {
    this.#file = file;
    this.#size = size;
    this.#fill();
  }

  /** Makes a pod of a spare process. */
  async assign(assignment: Assignment, watcher: PodWatcher): Promise<PodProcess> {
    const child = await (this.#spares.shift() ?? this.#start());
    this.#fill();
    const pod = new PodProcess(assignment.pod, child);
    child.on("message", (message: FromPod) => {
      if (message.say === "serving") pod.isServing = true;
      watcher.onMessage(pod, message);
    });
    child.once("exit", (code, signal) => watcher.onEnd(pod, signal, code));
    pod.tell({ say: "serve", assignment });
    return pod;
  }

  /** Ends every process that was started here. */
  async close(): Promise<void> {
    const ended = [...this.#children].map(async (child) => {
      child.kill("SIGKILL");
      if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
    });
    await Promise.all(ended);
  }

  #fill(): void {
    while (this.#spares.length < this.#size) this.#spares.push(this.#start());
  }

  async #start(): Promise<ChildProcess> {
    const child = fork(this.#file, { stdio: ["ignore", "inherit", "inherit", "ipc"], execArgv: [] });
    this.#children.add(child);
    child.once("exit", () => this.#children.delete(child));
    await once(child, "message", { signal: AbortSignal.timeout(SPARE_LIMIT_MS) });
    return child;
  }
}

function stateOf(pid: number): string | undefined {
  try {
    // The state follows the name, which is in brackets and may hold anything.
    return readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").at(-1)?.[0];
  } catch {
    return undefined;
  }
}
