import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { monotonicMs } from "./history-log.ts";
import type { Assignment, FromPod, ToPod } from "./pod-messages.ts";

const SPARE_LIMIT_MS = 60_000;
const STOPPED_LIMIT_MS = 1_000;
const DIAGNOSIS_MS = 1_000;
/** Linux counts the time of processes in hundredths of a second. */
const MS_PER_TICK = 10;
/** As `/proc` shows which signals are caught: signal 12. */
const SIGUSR2_BIT = 1n << 11n;

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
  /** It has told of a delivery of its own. */
  hasDelivered = false;
  #untold = "";

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
    if (!this.#child.connected) return;
    this.#child.send(message, (error) => {
      if (error !== null) this.#untold = `; could not be told to ${message.say}: ${error.message}`;
    });
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  async ended(): Promise<void> {
    if (!this.hasEnded) await once(this.#child, "exit");
  }

  /** Whether the kernel has stopped the process now: state T. */
  get isStopped(): boolean {
    return !this.hasEnded && processStat(this.pid)?.state === "T";
  }

  /** Looks for a moment whether it gets stopped. */
  async getsStopped(): Promise<boolean> {
    const untilMs = monotonicMs() + STOPPED_LIMIT_MS;
    while (monotonicMs() < untilMs && !this.hasEnded) {
      if (this.isStopped) return true;
      await delay(5);
    }
    return false;
  }

  /**
   * What the kernel says of a process that does not end, and what it says itself within a second, if it still can.
   * Shape: `node S in ep_poll, …; 10 ms of CPU within 1000 ms; its channel is connected; it says: closes the lock; …`.
   */
  async diagnose(diagnosisFile: string): Promise<string> {
    const threads = threadsOf(this.pid);
    const before = processStat(this.pid);
    // One that is on its way out listens to nothing any more, and the signal would end it.
    const isListening = (signalsCaught(this.pid) & SIGUSR2_BIT) !== 0n;
    if (isListening) this.signal("SIGUSR2");
    await delay(DIAGNOSIS_MS);
    const after = processStat(this.pid);
    const cpuMs = ((after?.cpuTicks ?? 0) - (before?.cpuTicks ?? 0)) * MS_PER_TICK;
    const channel = this.#child.connected ? "connected" : "disconnected";
    const said = isListening ? textOf(diagnosisFile).trim() || "nothing" : "nothing, and listens to no signal";
    const end = this.hasEnded ? "; it has ended meanwhile" : "";
    return `${threads}; ${cpuMs} ms of CPU within ${DIAGNOSIS_MS} ms; its channel is ${channel}${this.#untold}; it says: ${said}${end}`;
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
    // However this process ends: one that is stopped would never end by itself.
    process.on("exit", this.#killAll);
    this.#fill();
  }

  /** Makes a pod of a spare process. */
  async assign(assignment: Assignment, watcher: PodWatcher): Promise<PodProcess> {
    const child = await (this.#spares.shift() ?? this.#start());
    this.#fill();
    const pod = new PodProcess(assignment.pod, child);
    child.on("message", (message: FromPod) => {
      if (message.say === "serving") pod.isServing = true;
      if (message.say === "delivered") pod.hasDelivered = true;
      watcher.onMessage(pod, message);
    });
    child.once("exit", (code, signal) => watcher.onEnd(pod, signal, code));
    pod.tell({ say: "serve", assignment });
    return pod;
  }

  /** Ends every process that was started here. */
  async close(): Promise<void> {
    const children = [...this.#children];
    this.#killAll();
    const running = children.filter(({ exitCode, signalCode }) => exitCode === null && signalCode === null);
    await Promise.all(running.map((child) => once(child, "exit")));
    process.removeListener("exit", this.#killAll);
  }

  readonly #killAll = (): void => {
    for (const child of this.#children) child.kill("SIGKILL");
  };

  #fill(): void {
    while (this.#spares.length < this.#size) {
      const spare = this.#start();
      // Whoever takes it hears that it did not start.
      spare.catch(() => {});
      this.#spares.push(spare);
    }
  }

  async #start(): Promise<ChildProcess> {
    const child = fork(this.#file, { stdio: ["ignore", 2, 2, "ipc"], execArgv: [] });
    this.#children.add(child);
    child.once("exit", () => this.#children.delete(child));
    await once(child, "message", { signal: AbortSignal.timeout(SPARE_LIMIT_MS) });
    return child;
  }
}

/** Undefined once there is no such process. */
function processStat(pid: number): { readonly state: string; readonly cpuTicks: number } | undefined {
  // The state follows the name, which is in brackets and may hold anything.
  const [state, ...fields] = textOf(`/proc/${pid}/stat`).split(") ").at(-1)?.split(" ") ?? [];
  // In user mode and in the kernel's, the 14th and 15th of all.
  return state ? { state, cpuTicks: Number(fields[10]) + Number(fields[11]) } : undefined;
}

function signalsCaught(pid: number): bigint {
  const [, mask = "0"] = /^SigCgt:\s*([0-9a-f]+)$/m.exec(textOf(`/proc/${pid}/status`)) ?? [];
  return BigInt(`0x${mask}`);
}

/** Shape: `node S in ep_poll, libuv-worker S in futex_wait_queue`. */
function threadsOf(pid: number): string {
  try {
    const threads = readdirSync(`/proc/${pid}/task`).map((id) => {
      const [name = "", state = ""] = textOf(`/proc/${pid}/task/${id}/stat`)
        .replace(/^\d+ \(/, "")
        .split(") ");
      const [call = ""] = textOf(`/proc/${pid}/task/${id}/syscall`).split(" ");
      return `${name} ${state[0]} in ${textOf(`/proc/${pid}/task/${id}/wchan`)} (call ${call.trim()})`;
    });
    return threads.join(", ");
  } catch {
    return "no process";
  }
}

function textOf(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}
