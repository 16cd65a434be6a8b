import { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { redis } from "../../src/lock/redis.ts";
import { redlock } from "../../src/lock/redlock.ts";
import { lockContract } from "../conformance/lock-conformance.ts";
import { eventually } from "../support/eventually.ts";
import { startRedisNode } from "../support/redis.ts";
import type { ServerProcess } from "../support/server-process.ts";
import { securityBlock } from "./security-guide.ts";

const PASSWORD = "l0cks-pa55word";
const PREFIX = "locks:";
/** Granted for the option `replicas`, which the contract does not use. */
const GRANTED_BESIDES = "wait";

let server: ServerProcess;
let admin: Redis;
const opened: Redis[] = [];

beforeAll(async () => {
  server = await startRedisNode();
  admin = new Redis(server.url);
  const rules = securityBlock("redis-acl").trim().replace("PASSWORD", PASSWORD).split(" ").slice(2);
  await admin.call("ACL", "SETUSER", "locks", ...rules);
  await admin.set("canary", "stands");
  await admin.call("ACL", "LOG", "RESET");
  await admin.config("RESETSTAT");
});

afterAll(async () => {
  for (const client of [...opened, admin]) client.disconnect();
  await server.stop();
});

describe("one Redis, with the account of SECURITY.md", () => {
  lockContract(
    async () => ({
      backend: redis(await asUser(), { prefix: PREFIX, subscriber: await asUser(), callTimeoutMs: 5_000 }),
      ...looking(),
    }),
    { capabilities: { expiry: "ttl", ttlGranularityMs: 1, shared: true, fifo: false, push: true }, tellsHolderTime: true },
  );
});

describe("a Redlock node, with the account of SECURITY.md", () => {
  it("gives, extends, takes back and tells of it", async () => {
    const subscriber = await asUser();
    const lock = redlock([await asUser()], { prefix: PREFIX, nodeTimeoutMs: 5_000, subscribers: [subscriber] });
    let wakes = 0;
    const { lease } = await lock.acquire("a", { ttlMs: 60_000, owner: "one" });
    const stop = await lock.watch?.({ key: "a", owner: "two", mode: "exclusive" }, () => {
      wakes += 1;
    });

    const answers = lease && [await lock.extend(lease), await lock.release(lease)];

    expect(answers).toEqual([true, true]);
    await eventually(() => wakes > 0);
    stop?.();
    await eventually(async () => (await admin.info("commandstats")).includes("cmdstat_unsubscribe:calls="));
  });
});

describe("the account of SECURITY.md", () => {
  it("was refused nothing, and is granted nothing that nobody uses", async () => {
    const log = await admin.call("ACL", "LOG");
    const statistics = await admin.info("commandstats");
    const granted = [...securityBlock("redis-acl").matchAll(/\+([a-z]+)/g)].map(([, command]) => command ?? "");

    const unused = granted.filter((command) => !statistics.includes(`cmdstat_${command}:calls=`));

    expect(log).toEqual([]);
    expect(unused).toEqual([GRANTED_BESIDES]);
  });

  it("reaches no other key, channel or command, and says so without its password", async () => {
    const client = await asUser();
    const outside = redis(client, { callTimeoutMs: 5_000 });

    const refusals = await Promise.all(
      [
        client.get("canary"),
        client.flushall(),
        client.keys("*"),
        client.config("GET", "requirepass"),
        client.subscribe("other"),
        outside.acquire("canary", { ttlMs: 1_000, owner: "a" }),
      ].map((call) => call.then(String, (error: Error) => error.message)),
    );

    expect(refusals.filter((text) => !/permission|NOPERM|can't run/i.test(text))).toEqual([]);
    expect(refusals.join()).not.toContain(PASSWORD);
    expect(await admin.get("canary")).toBe("stands");
  });
});

async function asUser(): Promise<Redis> {
  const client = new Redis(server.url, { username: "locks", password: PASSWORD, lazyConnect: true, maxRetriesPerRequest: 1 });
  client.on("error", () => {});
  opened.push(client);
  await client.connect();
  return client;
}

function looking() {
  return {
    isHeld: async (key: string) => (await admin.exists(PREFIX + key)) === 1,
    elapse: async () => {},
    close: () => {},
  };
}
