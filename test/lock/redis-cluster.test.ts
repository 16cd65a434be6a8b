import { Cluster, Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { redis } from "../../src/lock/redis.ts";
import { eventually } from "../support/eventually.ts";
import { startPrivateServer } from "../support/ladder.ts";
import type { ServerProcess } from "../support/server-process.ts";
import type { Service } from "../support/service.ts";
import { redis as single } from "../support/services/redis.ts";

/** A Redis of a cluster refuses commands whose keys are in different slots, even when it has all slots itself. */
const clusterNode: Service = {
  ...single,
  name: "redis-cluster",
  title: "a Redis of a cluster",
  start: (place, port) => {
    const command = single.start(place, port);
    return { ...command, args: [...command.args, "--cluster-enabled", "yes", "--cluster-announce-ip", "127.0.0.1"] };
  },
};

const LEASE = { owner: "a", ttlMs: 60_000 };
const PATIENT = { callTimeoutMs: 5_000 };

let server: ServerProcess;
let clients: Cluster[] = [];
beforeAll(async () => {
  server = await startPrivateServer(clusterNode);
  const admin = new Redis(server.url);
  await admin.cluster(
    "ADDSLOTS",
    Array.from({ length: 16_384 }, (_, slot) => slot),
  );
  await eventually(async () => (await admin.cluster("INFO")).includes("cluster_state:ok"), { what: "the cluster" });
  admin.disconnect();
  clients = [1, 2].map(() => new Cluster([server.url]));
  for (const client of clients) client.on("error", () => {});
});
afterAll(async () => {
  for (const client of clients) client.disconnect();
  await server.stop();
});

describe("redis on a cluster", () => {
  it.each(["plain", "a{b}c", "{}{a}", "{a}{b}}{", "a}b{", "{{a}}", "{", "}"])(
    "L1 L8 takes, shares, extends and gives back the key %j, whatever its braces say of its slot",
    async (key) => {
      const [client, subscriber] = clients as [Cluster, Cluster];
      const lock = redis(client, { ...PATIENT, subscriber });

      const exclusive = await lock.acquire(key, LEASE);
      const refused = await lock.acquire(key, { ...LEASE, owner: "b", mode: "shared" });
      const ended = exclusive.lease && [await lock.extend(exclusive.lease), await lock.release(exclusive.lease)];
      const readers = [
        await lock.acquire(key, { ...LEASE, mode: "shared" }),
        await lock.acquire(key, { ...LEASE, owner: "b", mode: "shared" }),
      ].map(({ lease }) => lease);
      const closed = await Promise.all(
        readers.map(async (lease) => lease && [await lock.extend(lease), await lock.release(lease)]),
      );

      expect([exclusive.lease?.owner, refused.lease, readers.map((lease) => lease?.owner)]).toEqual(["a", null, ["a", "b"]]);
      expect([ended, closed]).toEqual([
        [true, true],
        [
          [true, true],
          [true, true],
        ],
      ]);
      expect(await client.exists(key)).toBe(0);
    },
  );

  it("L2 extends many leases one by one, for their keys are in different slots", async () => {
    const [client] = clients as [Cluster];
    const lock = redis(client, PATIENT);

    const attempts = await Promise.all(["a", "b", "c"].map((key) => lock.acquire(key, LEASE)));
    const extended = await Promise.all(attempts.map(({ lease }) => lease && lock.extend(lease)));

    expect(lock.extendMany).toBeUndefined();
    expect(extended).toEqual([true, true, true]);
  });

  it("L10 wakes those who wait", async () => {
    const [client, subscriber] = clients as [Cluster, Cluster];
    const lock = redis(client, { ...PATIENT, subscriber });
    let wakes = 0;
    const stop = await lock.watch?.({ key: "{woken", owner: "b", mode: "exclusive" }, () => wakes++);
    const { lease } = await lock.acquire("{woken", LEASE);

    if (lease !== null) await lock.release(lease);

    await eventually(() => wakes === 1, { what: "the wake-up" });
    stop?.();
  });
});
