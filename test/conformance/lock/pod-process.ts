import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Watchdog } from "../../support/watchdog.ts";
import type { Lapse, PodCommand, PodOptions, WorkReport } from "./pod-commands.ts";

const PROGRAM = fileURLToPath(new URL("./pod.ts", import.meta.url));

interface Answer {
  readonly id: number;
  readonly value?: unknown;
  readonly error?: string;
}

/** A process of its own that holds locks: to be paused, blocked and killed. */
export class PodProcess {
  /** A temporary folder, gone with the process. */
  readonly folder = mkdtempSync(join(tmpdir(), "exclaim-test-pod-"));
  readonly #child: ChildProcess;
  /** Ends it when this process dies, even while it is stopped. */
  readonly #watchdog = new Watchdog(this.folder, "SIGKILL");
  readonly #pending = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>();
  #lastId = 0;

  private constructor(options: PodOptions) {
    this.#child = spawn(process.execPath, ["--import", "tsx", PROGRAM, JSON.stringify(options)], {
      stdio: ["ignore", "inherit", "inherit", "ipc"],
    });
    if (this.#child.pid !== undefined) this.#watchdog.watch(this.#child.pid);
    this.#child.on("message", (answer: Answer) => this.#take(answer));
    this.#child.once("exit", (code, signal) => {
      for (const { reject } of this.#pending.values()) reject(new Error(`the pod ended with ${code ?? signal}`));
      this.#pending.clear();
    });
  }

  static async start(options: PodOptions): Promise<PodProcess> {
    const pod = new PodProcess(options);
    // The first message, under id 0, says that it is ready.
    await new Promise<unknown>((resolve, reject) => pod.#pending.set(0, { resolve, reject }));
    return pod;
  }

  async work(title: string, key: string, ttlMs: number): Promise<void> {
    await this.#tell({ do: "work", title, key, ttlMs });
  }

  async end(title: string): Promise<WorkReport> {
    return (await this.#tell({ do: "end", title })) as WorkReport;
  }

  async stall(ms: number): Promise<readonly Lapse[]> {
    return (await this.#tell({ do: "stall", ms })) as readonly Lapse[];
  }

  async setClock(aheadMs: number): Promise<void> {
    await this.#tell({ do: "setClock", aheadMs });
  }

  async count(what: Omit<Extract<PodCommand, { do: "count" }>, "do">): Promise<void> {
    await this.#tell({ do: "count", ...what });
  }

  /** Stops it where it is: nothing of it runs, its connections stay open. */
  pause(): void {
    this.#child.kill("SIGSTOP");
  }

  goOn(): void {
    this.#child.kill("SIGCONT");
  }

  /** Ends it without warning. Resolves once it is gone. */
  async kill(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      this.#child.kill("SIGKILL");
      await once(this.#child, "exit");
    }
    rmSync(this.folder, { recursive: true, force: true });
    await this.#watchdog.dismiss();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }

  #tell(command: PodCommand): Promise<unknown> {
    this.#lastId += 1;
    const id = this.#lastId;
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve, reject });
      this.#child.send({ id, command });
    });
  }

  #take({ id, value, error }: Answer): void {
    const waiting = this.#pending.get(id);
    this.#pending.delete(id);
    if (error === undefined) waiting?.resolve(value);
    else waiting?.reject(new Error(error));
  }
}
