import type { LockBackend } from "../../lock/lock.ts";
import { redlock } from "../../lock/redlock.ts";
import { importPackage } from "../import-package.ts";

/** A lock and the connection it goes through. */
export interface OpenLock {
  readonly lock: LockBackend;
  close(): void;
}

/** Redlock over one Redis, on a connection of its own: a lock must not wait behind the queue's commands. */
export async function openRedlock(url: string): Promise<OpenLock> {
  const { Redis } = await importPackage("ioredis", () => import("ioredis"));
  const redis = new Redis(url, {
    lazyConnect: true,
    maxRetriesPerRequest: 1,
    enableOfflineQueue: false,
    commandTimeout: 2_000,
  });
  redis.on("error", () => {});
  await redis.connect();
  return { lock: redlock([redis], { prefix: "" }), close: () => redis.disconnect() };
}
