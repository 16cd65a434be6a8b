import { openSync, writeSync } from "node:fs";

/** What a process that does not end says of itself when it is asked by SIGUSR2, even after it has closed everything. */
export class Diagnosis {
  /** At what it is. */
  step = "waits as a spare";
  #file: number | undefined;

  /** A signal that nobody listens to would end the process. */
  constructor() {
    process.on("SIGUSR2", () => this.#tell());
  }

  /** `file` stays open until the process has ended. */
  writeTo(file: string): void {
    this.#file = openSync(file, "a");
  }

  /** Shape: `closes the lock; connected; Timeout, TCPSocketWrap`. */
  describe(): string {
    const channel = process.connected ? "connected" : "disconnected";
    return `${this.step}; ${channel}; ${process.getActiveResourcesInfo().join(", ")}`;
  }

  #tell(): void {
    if (this.#file !== undefined) writeSync(this.#file, `${this.describe()}\n`);
  }
}
