import type { Clock } from "../clock.ts";
import type { Random } from "../random.ts";

const FIRST_PAUSE_MS = 250;
const LAST_PAUSE_MS = 30_000;

/** What a dispatcher knows of something it cannot do without: a destination, or the database. */
export class Outage {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #report: (error: unknown) => void;
  #failures = 0;
  #retryAtMs = 0;
  #lasting: { readonly sinceMs: number; readonly error: unknown } | undefined;

  constructor(clock: Clock, random: Random, report: (error: unknown) => void) {
    this.#clock = clock;
    this.#random = random;
    this.#report = report;
  }

  /** Since when it fails, and why; undefined when it does not. */
  get lasting(): { readonly sinceMs: number; readonly error: unknown } | undefined {
    return this.#lasting;
  }

  /** For how long it is to be left alone, in ms. */
  get pauseMs(): number {
    return Math.max(0, this.#retryAtMs - this.#clock.now());
  }

  /** Reports the first failure of an outage, and each that is of another kind. */
  fail(error: unknown): void {
    const isNews = this.#lasting === undefined || codeOf(this.#lasting.error) !== codeOf(error);
    const pauseMs = Math.min(LAST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** this.#failures) * (0.75 + this.#random.fraction() / 4);
    this.#failures += 1;
    this.#retryAtMs = this.#clock.now() + pauseMs;
    this.#lasting = { sinceMs: this.#lasting?.sinceMs ?? this.#clock.now(), error };
    if (isNews) this.#report(error);
  }

  /** Ends it. */
  end(): void {
    this.#lasting = undefined;
    this.hurry();
  }

  /** Has it tried at once, for somebody waits. */
  hurry(): void {
    this.#failures = 0;
    this.#retryAtMs = 0;
  }
}

function codeOf(error: unknown): unknown {
  return typeof error === "object" && error !== null && "code" in error ? error.code : undefined;
}
