import { Redis } from "ioredis";

const LIMIT_MS = 2_000;

/** Asks a Redis over a connection of its own, which waits for nothing longer than two seconds. */
export async function askRedis<T>(url: string, ask: (client: Redis) => Promise<T>): Promise<T> {
  const client = new Redis(url, {
    lazyConnect: true,
    connectTimeout: LIMIT_MS,
    commandTimeout: LIMIT_MS,
    enableReadyCheck: false,
    retryStrategy: () => null,
  });
  client.on("error", () => {});
  try {
    await client.connect();
    return await ask(client);
  } finally {
    client.disconnect();
  }
}

export async function redisTimeMs(url: string): Promise<number> {
  const [seconds = 0, microseconds = 0] = await askRedis(url, (client) => client.time());
  return Number(seconds) * 1_000 + Number(microseconds) / 1_000;
}
