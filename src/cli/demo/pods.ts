import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { extname } from "node:path";
import { fileURLToPath } from "node:url";
import { ExclaimError } from "../../errors.ts";
import type { PodOrder } from "./pod-order.ts";

/** The pod's program stands beside this file, compiled or not as this file is. */
const PROGRAM = fileURLToPath(new URL(`./pod${extname(fileURLToPath(import.meta.url))}`, import.meta.url));
const START_LIMIT_MS = 30_000;
const STOP_LIMIT_MS = 10_000;
/** What is kept of a pod's messages for an error. */
const MESSAGES_LENGTH = 2_000;

interface Pod {
  readonly process: ChildProcess;
  readonly exited: Promise<void>;
  messages: string;
  /** It was told to stop, or was killed on purpose. */
  isExpectedToEnd: boolean;
}

/** The processes that consume one variant's queue. */
export class Pods {
  readonly #order: PodOrder;
  readonly #pods: Pod[] = [];
  #failure: ExclaimError | undefined;

  constructor(order: PodOrder) {
    this.#order = order;
  }

  /** Starts `count` more. After: all of them consume. Throws CONFIG_INVALID: one ended instead; its last words are in the message. */
  async start(count: number): Promise<void> {
    const started = Array.from({ length: count }, () => this.#launch());
    this.#pods.push(...started);
    await Promise.all(started.map((pod) => this.#waitUntilReady(pod)));
  }

  /** Kills one the way the kernel does: with SIGKILL, in the middle of whatever it is at. */
  async killOne(): Promise<void> {
    const pod = this.#pods.shift();
    if (pod === undefined) return;
    pod.isExpectedToEnd = true;
    pod.process.kill("SIGKILL");
    await pod.exited;
  }

  /** Throws what ended a pod that nobody ended. */
  assertAlive(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Lets every pod finish what it is at. After: no process is left; one that does not end in time is killed. */
  async stop(): Promise<void> {
    await Promise.all(
      this.#pods.splice(0).map(async (pod) => {
        pod.isExpectedToEnd = true;
        if (pod.process.connected) pod.process.send("stop", () => {});
        const impatient = setTimeout(() => pod.process.kill("SIGKILL"), STOP_LIMIT_MS);
        await pod.exited;
        clearTimeout(impatient);
      }),
    );
  }

  /** Ends every pod at once. After: no process is left. */
  async kill(): Promise<void> {
    const pods = this.#pods.splice(0);
    for (const pod of pods) {
      pod.isExpectedToEnd = true;
      pod.process.kill("SIGKILL");
    }
    await Promise.all(pods.map((pod) => pod.exited));
  }

  #launch(): Pod {
    const child = fork(PROGRAM, { stdio: ["ignore", "ignore", "pipe", "ipc"] });
    const pod: Pod = { process: child, exited: exitOf(child), messages: "", isExpectedToEnd: false };
    child.stderr?.setEncoding("utf8").on("data", (chunk: string) => {
      pod.messages = (pod.messages + chunk).slice(-MESSAGES_LENGTH);
    });
    child.once("close", (code, signal) => {
      if (pod.isExpectedToEnd) return;
      this.#failure ??= new ExclaimError("CONFIG_INVALID", `a pod ended with ${signal ?? code}\n${pod.messages.trim()}`);
    });
    child.send(this.#order);
    return pod;
  }

  async #waitUntilReady(pod: Pod): Promise<void> {
    const limit = AbortSignal.timeout(START_LIMIT_MS);
    try {
      await Promise.race([once(pod.process, "message", { signal: limit }), once(pod.process, "close", { signal: limit })]);
    } catch (cause) {
      throw new ExclaimError("CONFIG_INVALID", `a pod is not ready after ${START_LIMIT_MS} ms\n${pod.messages.trim()}`, {
        cause,
      });
    }
    this.assertAlive();
  }
}

function exitOf(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    child.once("exit", () => resolve());
    child.once("error", () => resolve());
  });
}
