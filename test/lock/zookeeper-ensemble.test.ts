import { randomUUID } from "node:crypto";
import { connect } from "node:net";
import type { Client } from "node-zookeeper-client";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { zookeeper } from "../../src/lock/zookeeper.ts";
import { eventually } from "../support/eventually.ts";
import type { ServerProcess } from "../support/server-process.ts";
import { startZookeeperEnsemble } from "../support/zookeeper.ts";
import { type ClientOptions, closeClient, createClient, openClient } from "./zookeeper-clients.ts";

/** A third of it is how long a connection may be silent. */
const SESSION_MS = 9_000;
const TTL_MS = 9_000;
const CALL_TIMEOUT_MS = 300;
const RECOVERY = { timeoutMs: 25_000, what: "an answer" };

let servers: readonly ServerProcess[] = [];
const clients: Client[] = [];

beforeAll(async () => {
  servers = await startZookeeperEnsemble(3);
});

/** All three at work again, so that each test finds the same. */
beforeEach(async () => {
  for (const server of servers) server.resume();
  await eventually(
    async () => {
      const modes = await Promise.all(servers.map(modeOf));
      return modes.every((mode) => mode !== undefined) && modes.filter((mode) => mode === "leader").length === 1;
    },
    { timeoutMs: 30_000, what: "an ensemble with one leader" },
  );
});

afterEach(async () => {
  for (const server of servers) server.resume();
  await Promise.all(clients.splice(0).map(closeClient));
});

afterAll(async () => {
  await Promise.all(servers.map((server) => server.stop()));
});

async function open(urls = servers.map(({ url }) => url), options: ClientOptions = {}) {
  const client = await openClient(urls, { sessionMs: SESSION_MS, ...options });
  clients.push(client);
  return { client, lock: zookeeper(client, { callTimeoutMs: CALL_TIMEOUT_MS }) };
}

/** `leader` or `follower`; undefined while the server serves nobody. */
function modeOf({ host, port }: ServerProcess): Promise<string | undefined> {
  return new Promise((resolve) => {
    let answer = "";
    const socket = connect({ host, port }, () => socket.write("srvr"));
    socket.setTimeout(500, () => socket.destroy());
    socket.on("data", (bytes: Buffer) => {
      answer += bytes;
    });
    socket.on("error", () => undefined);
    socket.on("close", () => resolve(/Mode: (\w+)/.exec(answer)?.[1]));
  });
}

async function leader(): Promise<ServerProcess> {
  const modes = await Promise.all(servers.map(modeOf));
  return at(servers, modes.indexOf("leader"));
}

/** The server that a client talks to. */
function serverOf(client: Client): ServerProcess {
  return at(
    servers,
    servers.findIndex(({ port }) => port === client.connectionManager.socket?.remotePort),
  );
}

function at<T>(list: readonly T[], index: number): T {
  const item = list[index];
  if (item === undefined) throw new Error(`there is no item ${index} among ${list.length}`);
  return item;
}

describe("a ZooKeeper ensemble", () => {
  it("L1 L3 a lease outlives the death of the leader", async () => {
    const { lock } = await open();
    const { lock: other } = await open();
    const key = randomUUID();
    const { lease } = await lock.acquire(key, { ttlMs: TTL_MS, owner: "a" });
    if (lease === null) throw new Error("the key is not free");
    const dead = await leader();

    await dead.kill();

    expect(await eventually(() => lock.extend(lease).then(String), RECOVERY)).toBe("true");
    const refused = await eventually(() => other.acquire(key, { ttlMs: TTL_MS, owner: "b" }), RECOVERY);
    expect(refused.lease).toBeNull();
    expect(await lock.release(lease)).toBe(true);
    const next = await eventually(() => other.acquire(key, { ttlMs: TTL_MS, owner: "b" }), RECOVERY);
    expect(next.lease).not.toBeNull();
    await dead.restart();
  });

  // Seen to fail without the cut: the client waits for the server that hangs, and its session times out at the others.
  it("L3 a lease outlives its server's hanging: the client is made to go to the next one, with its session", async () => {
    const { client, lock } = await open();
    const key = randomUUID();
    const { lease } = await lock.acquire(key, { ttlMs: TTL_MS, owner: "a" });
    if (lease === null) throw new Error("the key is not free");
    const session = client.getSessionId();
    const hung = serverOf(client);

    hung.hang();

    expect(await eventually(() => lock.extend(lease).then(String), RECOVERY)).toBe("true");
    expect(client.getSessionId()).toEqual(session);
    expect(serverOf(client)).not.toBe(hung);
    expect(await lock.release(lease)).toBe(true);
  });

  it("goes on to the next server when the first one takes the connection and never answers", async () => {
    const hung = at(servers, 0);
    const client = createClient(
      servers.map(({ url }) => url),
      { sessionMs: SESSION_MS },
    );
    clients.push(client);
    client.connectionManager.servers.sort((one) => (Number(one.port) === hung.port ? -1 : 1));
    const lock = zookeeper(client, { callTimeoutMs: CALL_TIMEOUT_MS });
    hung.hang();
    client.connect();

    const { lease } = await eventually(() => lock.acquire(randomUUID(), { ttlMs: TTL_MS, owner: "a" }), RECOVERY);

    expect(lease).not.toBeNull();
    expect(serverOf(client)).not.toBe(hung);
  });

  // Seen to fail with a check by `exists`, which a server answers from what it last knew.
  it("L3 a server parted from the others proves nothing: extend throws instead of answering from what it last knew", async () => {
    const main = await leader();
    const follower = at(
      servers,
      servers.findIndex((server) => server !== main),
    );
    const { client, lock } = await open([follower.url]);
    const key = randomUUID();
    const { lease } = await lock.acquire(key, { ttlMs: TTL_MS, owner: "a" });
    if (lease === null) throw new Error("the key is not free");

    for (const server of servers) if (server !== follower) server.hang();
    const known = await new Promise<unknown>((resolve) => client.getChildren("/", (_, children) => resolve(children)));
    const extended = await lock.extend(lease).catch((error) => error);

    expect(known).toContain("exclaim-locks");
    expect(extended).toMatchObject({ code: "LOCK_UNREACHABLE" });
  });

  it("L1 30 workers over clients of all three servers lose no increment while the leader dies", async () => {
    const workers = await Promise.all(servers.map(({ url }) => open([url])));
    const everywhere = await open();
    const key = randomUUID();
    const dead = await leader();
    let counter = 0;
    let done = 0;
    const work = async (index: number) => {
      const { lock } = index % 2 === 0 ? everywhere : at(workers, index % 3);
      for (let mine = 0; mine < 5; ) {
        const owner = `${index}-${mine}`;
        const attempt = await lock.acquire(key, { ttlMs: TTL_MS, owner, queue: true }).catch(() => undefined);
        if (attempt === undefined || attempt.lease === null) {
          if (attempt === undefined && serverDied(lock)) return;
          await new Promise((resolve) => setTimeout(resolve, 20));
          continue;
        }
        const read = counter;
        await new Promise((resolve) => setTimeout(resolve, 1));
        counter = read + 1;
        done += 1;
        mine += 1;
        await lock.release(attempt.lease).catch(() => false);
      }
    };
    /** Workers whose one server is the dead one can do no more. */
    const serverDied = (lock: unknown) => workers.some((worker) => worker.lock === lock && serverIsDead(worker.client));
    const serverIsDead = (client: Client) => Number(client.connectionManager.servers[0]?.port) === dead.port;
    const working = Array.from({ length: 30 }, (_, index) => work(index));
    await eventually(() => done >= 20, { what: "work in progress" });

    await dead.kill();

    await Promise.all(working);
    await dead.restart();
    expect(counter).toBe(done);
    expect(done).toBeGreaterThanOrEqual(75);
  }, 60_000);
});
