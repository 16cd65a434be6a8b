import { type ChildProcess, spawn } from "node:child_process";
import { chownSync, closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { eventually } from "./eventually.ts";
import { freePort } from "./free-port.ts";
import { freezeTree, isRunning, killTree, send, thawTree } from "./process-tree.ts";
import type { Command, Place, Service } from "./service.ts";
import { type Account, unprivilegedAccount } from "./unprivileged-account.ts";
import { Watchdog } from "./watchdog.ts";

const HOST = "127.0.0.1";
const START_LIMIT_MS = 60_000;
const END_LIMIT_MS = 15_000;
const PORT_TRIES = 5;

/** A server that is ours alone, to be hung, killed and started again. */
export interface ServerProcess {
  readonly name: string;
  readonly url: string;
  readonly host: string;
  readonly port: number;
  /** Of the process that runs now, or ran last. */
  readonly pid: number;
  /** Stops the server and its children where they are (SIGSTOP): connections stay open and nothing answers. */
  hang(): void;
  /** Lets a hung server go on. */
  resume(): void;
  /** Kills the server and its children (SIGKILL). Resolves once they are gone. The data stays. */
  kill(): Promise<void>;
  /** Ends the server if it still runs and starts it again on the same port: PostgreSQL with its data, Redis empty. */
  restart(): Promise<void>;
  /** Ends the server and removes its folder. Calling it again does nothing. */
  stop(): Promise<void>;
}

/** Starts a server in a temporary folder of its own, on `port` or a free one. Resolves once it answers. */
export async function startServerProcess(
  service: Service,
  binaryFolder: string,
  options: { port?: number } = {},
): Promise<ServerProcess> {
  for (let tries = 1; ; tries += 1) {
    const server = new LocalServer(service, binaryFolder, options.port ?? (await freePort()));
    try {
      await server.begin();
      return server;
    } catch (error) {
      const portWasTaken = /address (already )?in use/i.test(server.log());
      await server.stop();
      if (!portWasTaken || options.port !== undefined || tries === PORT_TRIES) {
        throw error;
      }
    }
  }
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}

class LocalServer implements ServerProcess {
  readonly name: string;
  readonly url: string;
  readonly host = HOST;
  readonly port: number;
  readonly #service: Service;
  readonly #place: Place;
  readonly #account: Account | undefined;
  readonly #watchdog: Watchdog;
  #child: ChildProcess | undefined;
  #exit: Promise<void> = Promise.resolve();
  #stopped: Promise<void> | undefined;

  constructor(service: Service, binaryFolder: string, port: number) {
    this.name = service.name;
    this.port = port;
    this.url = service.url(HOST, port);
    this.#service = service;
    this.#account = service.refusesRoot ? unprivilegedAccount() : undefined;
    this.#place = { binaryFolder, folder: mkdtempSync(join(tmpdir(), `exclaim-test-${service.name}-`)) };
    this.#watchdog = new Watchdog(this.#place.folder, service.endSignal);
    if (this.#account !== undefined) {
      chownSync(this.#place.folder, this.#account.uid, this.#account.gid);
    }
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  async begin(): Promise<void> {
    for (const command of this.#service.prepare?.(this.#place) ?? []) {
      const child = this.#spawn(command);
      // Nothing else may keep the event loop alive meanwhile, and a process that ends here ends as if all were well.
      child.ref();
      await this.#exit;
      if (child.exitCode !== 0) {
        throw this.#failure(`${command.file} ended with ${child.exitCode ?? child.signalCode}`);
      }
    }
    await this.#start();
  }

  hang(): void {
    if (!this.#isRunning()) {
      throw new Error(`${this.#service.title} on port ${this.port} does not run, so it cannot hang.`);
    }
    freezeTree(this.pid);
  }

  resume(): void {
    if (this.#isRunning()) {
      thawTree(this.pid);
    }
  }

  async kill(): Promise<void> {
    if (this.#isRunning()) {
      this.#child?.ref();
      await this.#gone(killTree(this.pid));
    }
    await this.#exit;
  }

  async restart(): Promise<void> {
    await this.#end();
    await this.#start();
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#end().then(() => this.#remove());
    return this.#stopped;
  }

  /** What the server has written so far. */
  log(): string {
    try {
      return readFileSync(this.#logFile, "utf8");
    } catch {
      return "";
    }
  }

  get #logFile(): string {
    return join(this.#place.folder, "server.log");
  }

  async #start(): Promise<void> {
    const child = this.#spawn(this.#service.start(this.#place, this.port));
    const probe = async (): Promise<"answers" | "ended"> => {
      if (hasEnded(child)) {
        return "ended";
      }
      await this.#service.probe(this.url, { pid: this.pid, folder: this.#place.folder });
      return "answers";
    };
    const what = `an answer of ${this.#service.title} on port ${this.port}`;
    if ((await eventually(probe, { timeoutMs: START_LIMIT_MS, what })) === "ended") {
      throw this.#failure(`ended with ${child.exitCode ?? child.signalCode}`);
    }
    // A server that somebody forgot to stop does not keep this process alive; the watchdog ends it.
    child.unref();
  }

  /** A process group of its own, so that Ctrl-C in a terminal does not end the servers before the tests have cleaned up. */
  #spawn(command: Command): ChildProcess {
    const log = openSync(this.#logFile, "a");
    const child = spawn(command.file, command.args, {
      cwd: this.#place.folder,
      detached: true,
      env: { PATH: process.env.PATH, LC_ALL: "C", TZ: "UTC", HOME: this.#place.folder, ...command.env },
      stdio: ["ignore", log, log],
      ...this.#account,
    });
    closeSync(log);
    this.#exit = new Promise<void>((resolve) => {
      child.once("exit", () => resolve());
      child.once("error", () => resolve());
    }).then(() => this.#watchdog.forget());
    if (child.pid === undefined) {
      throw new Error(`${command.file} could not be started.`);
    }
    this.#child = child;
    this.#watchdog.watch(child.pid);
    return child;
  }

  async #end(): Promise<void> {
    if (this.#isRunning()) {
      this.#child?.ref();
      thawTree(this.pid);
      send(this.pid, this.#service.endSignal);
      const inTime = await Promise.race([this.#exit.then(() => true), delay(END_LIMIT_MS, false, { ref: false })]);
      if (!inTime) {
        await this.kill();
      }
    }
    await this.#exit;
  }

  /** As the system told us: the id of a process that has ended may be another's by now, which must not be signalled. */
  #isRunning(): boolean {
    return this.#child !== undefined && !hasEnded(this.#child);
  }

  async #remove(): Promise<void> {
    this.#service.cleanUp?.(this.#place.folder);
    rmSync(this.#place.folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
    await this.#watchdog.dismiss();
  }

  async #gone(pids: readonly number[]): Promise<void> {
    await eventually(() => !pids.some(isRunning), { what: `the end of ${this.name} after SIGKILL` });
  }

  #failure(what: string): Error {
    return new Error(`${this.#service.title} on port ${this.port} ${what}. The end of its log:\n${this.log().slice(-2_000)}`);
  }
}
