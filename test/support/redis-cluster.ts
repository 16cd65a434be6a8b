import { Redis } from "ioredis";
import { eventually } from "./eventually.ts";
import { freePort } from "./free-port.ts";
import { startPrivateServer } from "./ladder.ts";
import type { ServerProcess } from "./server-process.ts";
import type { Service } from "./service.ts";
import { redis } from "./services/redis.ts";

const SLOTS = 16_384;
const FORMING_LIMIT_MS = 30_000;

/** A Redis Cluster that is ours alone. */
export interface RedisCluster {
  /** The masters, each with an equal share of the slots and no replica: the keys of one that is killed are out of reach. */
  readonly nodes: readonly ServerProcess[];
  /** All of them, as `new Cluster(urls)` takes them. */
  readonly urls: readonly string[];
  /** Ends all nodes and removes their folders. Calling it again does nothing. */
  stop(): Promise<void>;
}

/**
 * Starts a cluster of our own of as many masters, all or none. Resolves once every node calls the cluster whole and knows all others, so
 * that a client learns the same slots from any.
 */
export async function startRedisCluster(masters = 3): Promise<RedisCluster> {
  const started = await Promise.allSettled(Array.from({ length: masters }, () => startMember()));
  const members = started.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
  const nodes = members.map(({ node }) => node);
  const stop = async (): Promise<void> => {
    await Promise.all(nodes.map((node) => node.stop()));
  };
  try {
    const failed = started.find((result) => result.status === "rejected");
    if (failed !== undefined) throw failed.reason;
    await form(members);
  } catch (error) {
    await stop();
    throw error;
  }
  return { nodes, urls: nodes.map(({ url }) => url), stop };
}

interface Member {
  readonly node: ServerProcess;
  /** Where the other nodes call it. By itself Redis would take a port that lies among those of outgoing connections. */
  readonly busPort: number;
}

async function startMember(): Promise<Member> {
  const busPort = await freePort();
  const service: Service = {
    ...redis,
    name: "redis-cluster",
    title: "a Redis of a cluster",
    start: (place, port) => {
      const command = redis.start(place, port);
      const membership = ["--cluster-enabled", "yes", "--cluster-port", String(busPort), "--cluster-announce-ip", "127.0.0.1"];
      return { ...command, args: [...command.args, ...membership] };
    },
  };
  return { node: await startPrivateServer(service), busPort };
}

/** Spreads the slots evenly, and lets every node meet the first. */
async function form(members: readonly Member[]): Promise<void> {
  const clients = members.map(({ node }) => new Redis(node.url));
  for (const client of clients) client.on("error", () => {});
  try {
    const share = SLOTS / clients.length;
    for (const [index, client] of clients.entries()) {
      const [first, last] = [Math.round(index * share), Math.round((index + 1) * share) - 1];
      await client.call("CLUSTER", "ADDSLOTSRANGE", first, last);
      // Each an epoch of its own, before they meet: equal ones they would have to settle among themselves first.
      await client.call("CLUSTER", "SET-CONFIG-EPOCH", index + 1);
    }
    for (const { node, busPort } of members.slice(1)) {
      await clients[0]?.call("CLUSTER", "MEET", node.host, node.port, busPort);
    }
    const isWhole = async () => (await Promise.all(clients.map((client) => knowsAll(client, members.length)))).every(Boolean);
    await eventually(isWhole, { timeoutMs: FORMING_LIMIT_MS, what: "a whole Redis Cluster" });
  } finally {
    for (const client of clients) client.disconnect();
  }
}

async function knowsAll(client: Redis, masters: number): Promise<boolean> {
  const information = await client.cluster("INFO");
  return information.includes("cluster_state:ok") && information.includes(`cluster_size:${masters}\r\n`);
}
