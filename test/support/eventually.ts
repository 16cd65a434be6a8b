import { setTimeout as delay } from "node:timers/promises";

const POLL_INTERVAL_MS = 20;

interface EventuallyOptions {
  timeoutMs?: number;
  what?: string;
}

type Probe<T> = () => Promise<T> | T;

/** What a function returns that returns nothing. */
type Nothing = Awaited<Promise<void>>;

/**
 * Waits until the probe throws nothing and returns something truthy, and returns that.
 * Shape: a probe of assertions alone, returning nothing, is done once it no longer throws. Since it would be read
 * as one, a probe that returns `X | undefined` does not compile: write `?? null`.
 * Unit: timeoutMs in ms.
 * @default timeoutMs 10_000
 * Throws when the deadline passes, also while a probe is still running: names `what`, with the last error as cause.
 */
export async function eventually<T extends NonNullable<unknown> | null>(
  probe: Probe<T>,
  options?: EventuallyOptions,
): Promise<Exclude<T, null | false>>;
export async function eventually<T extends Nothing>(probe: Probe<T>, options?: EventuallyOptions): Promise<void>;
export async function eventually(probe: Probe<unknown>, options: EventuallyOptions = {}): Promise<unknown> {
  const { timeoutMs = 10_000, what = "the condition" } = options;
  const deadline = performance.now() + timeoutMs;
  const expiry = new AbortController();
  const expired = delay(timeoutMs, EXPIRED, { signal: expiry.signal }).catch((): typeof EXPIRED => EXPIRED);
  let lastError: unknown = new Error("the probe never finished");
  try {
    while (performance.now() < deadline) {
      const outcome = await Promise.race([attempt(probe), expired]);
      if (outcome === EXPIRED) {
        break;
      }
      if ("value" in outcome) {
        return outcome.value;
      }
      lastError = outcome.error;
      await delay(POLL_INTERVAL_MS);
    }
  } finally {
    expiry.abort();
  }
  const reason = lastError instanceof Error ? lastError.message : String(lastError);
  throw new Error(`${what} did not come about within ${timeoutMs} ms: ${reason}`, { cause: lastError });
}

const EXPIRED = Symbol("expired");

/** Never rejects, so that a probe that fails after the deadline troubles nobody. */
async function attempt(probe: Probe<unknown>): Promise<{ value: unknown } | { error: unknown }> {
  try {
    const value = await probe();
    if (value === undefined || value) {
      return { value };
    }
    return { error: new Error(`the probe returned ${String(value)}`) };
  } catch (error) {
    return { error };
  }
}
