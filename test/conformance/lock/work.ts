import { setTimeout as delay } from "node:timers/promises";
import { type HeldLock, isExclaimError } from "../../../src/index.ts";
import { machineNowMs, type WorkReport } from "./pod-commands.ts";

/** Work that goes on under a lock: again and again it makes sure that the lock is its own, until told to end or until it is not. */
export class Work {
  readonly lock: HeldLock;
  #lastTrustedAtMs = 0;
  #lost: string | null = null;
  #isEnding = false;
  readonly #done: Promise<void>;

  constructor(lock: HeldLock) {
    this.lock = lock;
    this.#done = this.#run();
  }

  async end(): Promise<WorkReport> {
    this.#isEnding = true;
    await this.#done;
    const { aborted } = this.lock.signal;
    const released = await this.lock.release();
    return { lastTrustedAtMs: this.#lastTrustedAtMs, lost: this.#lost, aborted, released };
  }

  async #run(): Promise<void> {
    while (!this.#isEnding && this.#lost === null) {
      // Read before it is asked: a process may be stopped between the two.
      const atMs = machineNowMs();
      this.#lost = codeOf(() => this.lock.assertHeld());
      if (this.#lost === null) this.#lastTrustedAtMs = atMs;
      await delay(5);
    }
  }
}

/** The code of what is thrown; null when nothing is. */
export function codeOf(run: () => void): string | null {
  try {
    run();
    return null;
  } catch (error) {
    return isExclaimError(error) ? error.code : String(error);
  }
}
