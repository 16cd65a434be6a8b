import { Cluster, Redis } from "ioredis";
import { describe, expect, it, onTestFinished } from "vitest";
import { isRunning } from "./process-tree.ts";
import { startRedisCluster } from "./redis-cluster.ts";

describe("a Redis Cluster of our own", () => {
  it("has three masters that share the slots evenly, carries keys of each, and leaves no process", async () => {
    const cluster = await startRedisCluster();
    onTestFinished(cluster.stop);
    const client = new Cluster([...cluster.urls]);

    // Slots 15495, 3300 and 7365.
    await Promise.all(["a", "b", "c"].map((key) => client.set(key, key.toUpperCase())));
    const values = await Promise.all(["a", "b", "c"].map((key) => client.get(key)));
    const keys = await Promise.all(cluster.urls.map(countKeys));
    const shares = await client.cluster("SLOTS");
    client.disconnect();
    await cluster.stop();

    expect(values).toEqual(["A", "B", "C"]);
    expect(keys).toEqual([1, 1, 1]);
    expect(shares.map(([first, last]) => Number(last) - Number(first) + 1).sort()).toEqual([5461, 5461, 5462]);
    expect(cluster.nodes.some(({ pid }) => isRunning(pid))).toBe(false);
  });
});

async function countKeys(url: string): Promise<number> {
  const client = new Redis(url);
  const count = await client.dbsize();
  client.disconnect();
  return count;
}
