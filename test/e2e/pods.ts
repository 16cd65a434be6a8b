import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { eventually } from "../support/eventually.ts";
import type { PodOptions } from "./pod.ts";

const START_LIMIT_MS = 60_000;

/** Processes that are killed and replaced. */
export class Pods {
  readonly #options: Omit<PodOptions, "seed">;
  /** Each resolves once its pod consumes. */
  readonly #starting = new Map<ChildProcess, Promise<unknown>>();
  /** Those that consume. */
  readonly #consuming: ChildProcess[] = [];
  #seed = 0;

  constructor(options: Omit<PodOptions, "seed">) {
    this.#options = options;
  }

  async start(count: number): Promise<void> {
    for (let pod = 1; pod <= count; pod += 1) this.#startOne();
    await Promise.all(this.#starting.values());
  }

  /** Kills one that consumes, without warning, and starts another in its place, which takes its time. */
  async killOne(pick: number): Promise<void> {
    await eventually(() => this.#consuming.length > 0, { timeoutMs: START_LIMIT_MS, what: "a pod that consumes" });
    const [victim] = this.#consuming.splice(pick % this.#consuming.length, 1);
    victim?.kill("SIGKILL");
    if (victim !== undefined && victim.exitCode === null && victim.signalCode === null) await once(victim, "exit");
    this.#startOne();
  }

  /** Tells them to stop. Returns how each has ended. */
  async stop(): Promise<readonly (number | null)[]> {
    await Promise.all(this.#starting.values());
    const pods = this.#consuming.splice(0);
    await Promise.all(
      pods.map(async (pod) => {
        pod.kill("SIGTERM");
        if (pod.exitCode === null && pod.signalCode === null) await once(pod, "exit");
      }),
    );
    return pods.map((pod) => pod.exitCode);
  }

  #startOne(): void {
    this.#seed += 1;
    const argument = JSON.stringify({ ...this.#options, seed: this.#seed });
    const file = new URL("./pod.ts", import.meta.url).pathname;
    const pod = spawn(process.execPath, ["--import", "tsx", file, argument], { stdio: ["ignore", "pipe", "inherit"] });
    // One that ends before it consumes is told by how it has ended.
    const started = Promise.race([once(pod.stdout, "data"), once(pod, "exit")]).then(() => {
      this.#starting.delete(pod);
      this.#consuming.push(pod);
    });
    this.#starting.set(pod, started);
  }
}
