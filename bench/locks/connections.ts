import { Redis, type RedisOptions } from "ioredis";

/** One connection a node, ready for commands. */
export async function connect(urls: readonly string[], options: RedisOptions): Promise<Redis[]> {
  const clients = urls.map((url) => new Redis(url, { ...options, lazyConnect: true }));
  // Servers are killed on purpose: without a listener ioredis prints every failed reconnection.
  for (const client of clients) client.on("error", () => {});
  await Promise.all(clients.map((client) => client.connect()));
  return clients;
}

export function disconnect(clients: readonly Redis[]): void {
  for (const client of clients) client.disconnect();
}

/** How a connection for locks is opened, by its name in the tables. */
export const CONNECTIONS = {
  /** What ioredis does unasked: commands wait in the client for a server that is away, and for an answer without end. */
  plain: () => ({}),
  /** What exclaim recommends for locks: no queue in the client, and an end to every command. */
  limited: (ttlMs: number) => ({ maxRetriesPerRequest: 1, enableOfflineQueue: false, commandTimeout: ttlMs / 4 }),
} satisfies Record<string, (ttlMs: number) => RedisOptions>;

export type ConnectionKind = keyof typeof CONNECTIONS;
