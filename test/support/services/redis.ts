import { join } from "node:path";
import { Redis } from "ioredis";
import type { Service } from "../service.ts";

/** Nothing is written to disk, so that a node that comes back is empty, and nothing is evicted, which BullMQ asks for. */
const SETTING_ARGUMENTS = ["--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction"];

/** One Redis, at REDIS_URL or started. */
export const redis: Service = {
  name: "redis",
  title: "Redis",
  variable: "REDIS_URL",
  count: 1,
  container: {
    image: "redis:7.4-alpine",
    port: 6379,
    command: ["redis-server", ...SETTING_ARGUMENTS],
    tmpfs: ["/data"],
  },
  binaries: ["redis-server"],
  folders: ["/opt/homebrew/bin", "/usr/local/opt/redis/bin"],
  debianPackage: "redis-server",
  refusesRoot: false,
  endSignal: "SIGKILL",
  start: ({ binaryFolder, folder }, port) => ({
    file: join(binaryFolder, "redis-server"),
    args: ["--port", String(port), "--bind", "127.0.0.1", "--daemonize", "no", "--dir", folder, ...SETTING_ARGUMENTS],
  }),
  url: (host, port) => `redis://${host}:${port}`,
  probe: async (url, started) => {
    const client = new Redis(url, {
      lazyConnect: true,
      connectTimeout: 2_000,
      commandTimeout: 2_000,
      retryStrategy: () => null,
    });
    client.on("error", () => {});
    try {
      await client.connect();
      const information = await client.info("server");
      if (started !== undefined && !information.includes(`process_id:${started.pid}\r\n`)) {
        throw new Error("another Redis answers on this port");
      }
    } finally {
      client.disconnect();
    }
  },
};

/** Five independent Redis for a quorum, at REDIS_URLS or started. */
export const redisQuorum: Service = { ...redis, name: "redis-quorum", title: "five Redis", variable: "REDIS_URLS", count: 5 };
