/** Who holds a key, and until when: the published package does not say. */
import type { RedisClient } from "./node-redlock-instance.ts";

/** When nobody holds a quorum the voters give up within a round trip or two, so it is worth trying again soon. */
const MIN_SPLIT_RETRY_MS = 5;

export interface Holder {
  readonly owner: string;
  /** Infinity when the key never ends by itself. */
  readonly remainingMs: number;
}

/** Undefined when nobody does, or that cannot be told. Never rejects. */
export async function look(client: RedisClient, resource: string): Promise<Holder | undefined> {
  try {
    const [owner, remaining] = await Promise.all([client.get(resource), client.pttl(resource)]);
    if (typeof owner !== "string") return undefined;
    const remainingMs = Number(remaining);
    return { owner, remainingMs: remainingMs === -1 ? Number.POSITIVE_INFINITY : Math.max(0, remainingMs) };
  } catch {
    return undefined;
  }
}

/** Who holds the key on a quorum of nodes. */
export function ownerOf(holders: readonly Holder[], quorum: number): string | undefined {
  return holders.find(({ owner }) => holders.filter((other) => other.owner === owner).length >= quorum)?.owner;
}

/** When a quorum may be free: the holder's remaining time; soon when nobody holds a quorum; 0 when it never ends by itself. */
export function retryAfterMs(
  holders: readonly Holder[],
  quorum: number,
  free: number,
  elapsedMs: number,
  ttlMs: number,
): number {
  if (ownerOf(holders, quorum) === undefined) {
    return Math.max(1, Math.ceil(Math.min(ttlMs / 10, Math.max(MIN_SPLIT_RETRY_MS, 2 * elapsedMs))));
  }
  const remainingMs = holders.map((holder) => holder.remainingMs).sort((a, b) => a - b);
  const freeAfterMs = remainingMs[quorum - free - 1] ?? Number.POSITIVE_INFINITY;
  return freeAfterMs === Number.POSITIVE_INFINITY ? 0 : Math.max(1, freeAfterMs);
}
