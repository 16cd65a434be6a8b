import { connect, type Socket } from "node:net";
import type { LockCommand } from "../../checker/history.ts";
import { JUMP_MS } from "./clock-faults.ts";
import { LockWitness } from "./lock-witness.ts";

const RECONNECT_AFTER_MS = 10;

/** Of this machine: how far the monotonic clock is ahead of the time of day. */
const MONOTONIC_LEAD_MS = Number(process.hrtime.bigint()) / 1e6 - Date.now();

/** Listens to what a Redis runs, also after it was started again. */
export class LockMonitor {
  readonly #at: { readonly host: string; readonly port: number };
  readonly #witness: LockWitness;
  #socket: Socket | undefined;
  #isClosed = false;

  /** Resolves once it listens. */
  static async open(node: string, at: { readonly host: string; readonly port: number }): Promise<LockMonitor> {
    const monitor = new LockMonitor(node, at);
    await new Promise<void>((resolve) => monitor.#listen(resolve));
    return monitor;
  }

  private constructor(node: string, at: { readonly host: string; readonly port: number }) {
    this.#at = at;
    this.#witness = new LockWitness(node, monotonicOf);
  }

  /** What was run since this was last asked. */
  take(): LockCommand[] {
    return this.#witness.take();
  }

  close(): void {
    this.#isClosed = true;
    this.#socket?.destroy();
  }

  #listen(listening: () => void): void {
    const socket = connect({ host: this.#at.host, port: this.#at.port });
    let rest = "";
    socket.setEncoding("utf8").setNoDelay(true);
    socket.on("connect", () => socket.write("MONITOR\r\n"));
    socket.on("data", (text: string) => {
      const lines = (rest + text).split("\r\n");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        if (line === "+OK") listening();
        else this.#witness.see(line);
      }
    });
    socket.on("error", () => {});
    socket.on("close", () => {
      this.#witness.forget();
      if (!this.#isClosed) setTimeout(() => !this.#isClosed && this.#listen(listening), RECONNECT_AFTER_MS).unref();
    });
    this.#socket = socket;
  }
}

/** The clock of a server has jumped some whole jumps; what it shows comes late, but never by half a jump. */
function monotonicOf(timeMs: number): number {
  const jumps = Math.round((timeMs - Date.now()) / JUMP_MS);
  return timeMs - jumps * JUMP_MS + MONOTONIC_LEAD_MS;
}
