import { ExclaimError } from "../../errors.ts";
import { importPackage } from "../import-package.ts";

/** Asks Redis for a sign of life. Throws CONFIG_INVALID: it does not answer. */
export async function assertRedis(url: string): Promise<void> {
  const { Redis } = await importPackage("ioredis", () => import("ioredis"));
  const redis = new Redis(url, { lazyConnect: true, retryStrategy: () => null, connectTimeout: 5_000 });
  // The promise only tells that the connection is closed; the event tells why.
  let cause: unknown;
  redis.on("error", (error) => {
    cause ??= error;
  });
  try {
    await redis.connect();
    await redis.ping();
  } catch (error) {
    cause ??= error;
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new ExclaimError("CONFIG_INVALID", `the server of REDIS_URL does not answer: ${why}`, { cause });
  } finally {
    redis.disconnect();
  }
}
