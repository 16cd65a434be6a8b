import { startPrivateServer } from "./ladder.ts";
import type { ServerProcess } from "./server-process.ts";
import { redis, redisQuorum } from "./services/redis.ts";
import { sharedUrl, sharedUrls } from "./shared-urls.ts";

/** The Redis that all tests of this run share: use keys of your own, and never flush it. */
export function redisUrl(): string {
  return sharedUrl(redis);
}

/** The five independent Redis that all tests of this run share: use keys of your own, and never flush them. */
export function redisQuorumUrls(): readonly string[] {
  return sharedUrls(redisQuorum);
}

/** Starts a Redis of our own, on `port` or a free one. */
export function startRedisNode(options: { port?: number } = {}): Promise<ServerProcess> {
  return startPrivateServer(redis, options);
}

/** Starts independent Redis of our own, all or none. */
export async function startRedisNodes(count: number): Promise<ServerProcess[]> {
  const results = await Promise.allSettled(Array.from({ length: count }, () => startRedisNode()));
  const nodes = results.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
  const failed = results.find((result) => result.status === "rejected");
  if (failed !== undefined) {
    await Promise.all(nodes.map((node) => node.stop()));
    throw failed.reason;
  }
  return nodes;
}
