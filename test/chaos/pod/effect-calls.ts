import type { EffectSent, FromPod } from "../pod-messages.ts";

/** Sends effects to the receiver outside. Resolves once it has them. */
export class EffectCalls {
  readonly #tell: (message: FromPod) => void;
  readonly #waiting = new Map<number, () => void>();
  #calls = 0;

  constructor(tell: (message: FromPod) => void) {
    this.#tell = tell;
  }

  readonly send = (effects: readonly EffectSent[]): Promise<void> =>
    new Promise((resolve) => {
      this.#calls += 1;
      this.#waiting.set(this.#calls, resolve);
      this.#tell({ say: "effect", call: this.#calls, effects });
    });

  answered(call: number): void {
    this.#waiting.get(call)?.();
    this.#waiting.delete(call);
  }
}
