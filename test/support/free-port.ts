import { readFileSync } from "node:fs";
import { createServer } from "node:net";

const LOWEST_PORT = 15_000;
const TRIES = 50;

/**
 * A TCP port of 127.0.0.1 that is free now, below the range the system takes the ports of outgoing connections from.
 * A server that is down for a while then finds its port free when it comes back, and a client that calls that port
 * in the meantime cannot be connected to itself.
 */
export async function freePort(): Promise<number> {
  const limit = firstOutgoingPort();
  for (let count = 0; count < TRIES; count += 1) {
    const port = LOWEST_PORT + Math.floor(Math.random() * (limit - LOWEST_PORT));
    if (await isFree(port)) {
      return port;
    }
  }
  throw new Error(`No free port found on 127.0.0.1 between ${LOWEST_PORT} and ${limit}: end some servers and try again.`);
}

function firstOutgoingPort(): number {
  try {
    const first = Number(readFileSync("/proc/sys/net/ipv4/ip_local_port_range", "utf8").trim().split(/\s+/)[0]);
    return first >= LOWEST_PORT + 1_000 ? first : 32_768;
  } catch {
    return 32_768;
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}
