import type { LockWaiter } from "../lock/lock.ts";
import { CALL_LIMIT_MS, type LockPorts, quoted } from "./lock-calls.ts";
import { within } from "./within.ts";

/** What the server tells one who waits, where it does. Asking for that delays nobody, and who waits goes on when it fails. */
export class WakeUps {
  readonly #ports: LockPorts;
  readonly #waiter: LockWaiter;
  readonly #wake: () => void;
  #state: "none" | "asked" | "standing" | "over" = "none";
  #stop: () => void = () => {};

  constructor(ports: LockPorts, waiter: LockWaiter, wake: () => void) {
    this.#ports = ports;
    this.#waiter = waiter;
    this.#wake = wake;
  }

  /** While they stand the waiter may sleep long. */
  get areStanding(): boolean {
    return this.#state === "standing";
  }

  /** Asks for them, unless that is done already. Wakes the waiter once they stand: what changed before that it sees then. */
  begin(): void {
    if (this.#ports.lock.watch === undefined || this.#state !== "none") return;
    this.#state = "asked";
    void this.#ask();
  }

  end(): void {
    const wereStanding = this.areStanding;
    this.#state = "over";
    if (wereStanding) this.#end(this.#stop);
  }

  async #ask(): Promise<void> {
    try {
      const stop = await within(this.#watch(), {
        clock: this.#ports.clock,
        limitMs: CALL_LIMIT_MS,
        late: () => {
          throw new Error(`no answer within ${CALL_LIMIT_MS} ms`);
        },
        tooLate: (late) => this.#end(late),
      });
      if (this.#state === "over") return this.#end(stop);
      this.#stop = stop;
      this.#state = "standing";
      this.#wake();
    } catch (error) {
      if (this.#state !== "over") this.#state = "none";
      this.#tell(error);
    }
  }

  async #watch(): Promise<() => void> {
    return (await this.#ports.lock.watch?.(this.#waiter, this.#wake)) ?? (() => {});
  }

  /** Who waited may hold the lock by now: what ending the watch throws must not cost it that. */
  #end(stop: () => unknown): void {
    Promise.resolve()
      .then(stop)
      .catch((error: unknown) => this.#tell(error));
  }

  #tell(error: unknown): void {
    this.#ports.events.emit("background:failed", { what: `watching the lock on ${quoted(this.#waiter.key)}`, error });
  }
}
