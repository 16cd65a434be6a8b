import { ExclaimError } from "../errors.ts";

/**
 * How long a broker may be silent, in ms. A client that waits for its server to come back waits for ever, and keeps what it was given; what
 * asked here sends it again, which changes nothing.
 */
export const SEND_TIMEOUT_MS = 30_000;

/** What the promise gives, or BROKER_UNREACHABLE after `timeoutMs`. What becomes of the promise later troubles nobody. */
export async function within<T>(promise: Promise<T>, timeoutMs: number, name: string): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const expiry = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(silent(name, timeoutMs)), timeoutMs);
  });
  try {
    return await Promise.race([promise, expiry]);
  } finally {
    clearTimeout(timer);
  }
}

export function silent(name: string, timeoutMs: number): ExclaimError {
  return new ExclaimError(
    "BROKER_UNREACHABLE",
    `${name} did not answer within ${timeoutMs} ms: see that its broker is up, reachable and not out of memory or disk`,
  );
}
