import { createHash } from "node:crypto";
import { once } from "node:events";
import zookeeperClient, { type Client } from "node-zookeeper-client";
import { zookeeper } from "../../src/lock/zookeeper.ts";
import type { LockInspector, OpenLock } from "../conformance/lock/lock-product.ts";

/** As long as the longest lease of the conformance suites. */
const SESSION_MS = 60_000;

export interface ClientOptions {
  readonly sessionMs?: number;
  readonly retries?: number;
  /** Appended to the connection string. */
  readonly chroot?: string;
  readonly sessionId?: Buffer;
  readonly sessionPassword?: Buffer;
}

/** A connected client of a server, or of an ensemble. */
export async function openClient(urls: readonly string[], options: ClientOptions = {}): Promise<Client> {
  const client = createClient(urls, options);
  const connected = once(client, "connected");
  client.connect();
  await connected;
  return client;
}

/** A client that is not connected yet. */
export function createClient(urls: readonly string[], options: ClientOptions = {}): Client {
  const { sessionMs = SESSION_MS, chroot = "", ...rest } = options;
  const hosts = urls.map((url) => new URL(url).host).join(",");
  return zookeeperClient.createClient(hosts + chroot, { sessionTimeout: sessionMs, spinDelay: 100, ...rest });
}

/** Ends the session. Resolves once the server has ended it, or at once when there is no connection to do it by. */
export async function closeClient(client: Client): Promise<void> {
  if (client.getState().name !== "SYNC_CONNECTED") {
    if (client.connectionManager.socket !== undefined) client.close();
    return;
  }
  const disconnected = once(client, "disconnected");
  client.close();
  await Promise.race([disconnected, new Promise((resolve) => setTimeout(resolve, 2_000).unref())]);
}

/** So that a machine busy with other tests is not taken for a server that does not answer. */
const PATIENT = { callTimeoutMs: 2_000 };

/** The back-end over a client of its own, which it replaces when its session has expired. */
export async function openZookeeper(urls: readonly string[], options: ClientOptions = {}): Promise<OpenLock> {
  let client = await openClient(urls, options);
  let isClosed = false;
  const replace = () => {
    if (isClosed) return;
    client = createClient(urls, options);
    client.once("expired", replace);
    client.connect();
  };
  client.once("expired", replace);
  return {
    backend: zookeeper(() => client, PATIENT),
    close: async () => {
      isClosed = true;
      await closeClient(client);
    },
  };
}

/** The server's own view. It knows by itself where keys are, and shares no code with the back-end. */
export interface ZookeeperInspector extends LockInspector {
  readonly client: Client;
  /** The paths of all that stand in line for a key, in order. */
  line(key: string): Promise<readonly string[]>;
  removeNode(path: string): Promise<void>;
}

export async function inspectZookeeper(urls: readonly string[], root = "/exclaim-locks"): Promise<ZookeeperInspector> {
  const client = await openClient(urls);
  const sequenceOf = (name: string) => Number(name.slice(-10));
  const line = async (key: string) => {
    const hash = createHash("sha256").update(Buffer.from(key, "utf16le"));
    const digest = hash.digest();
    const bucket = `${root}/${digest.toString("hex").slice(0, 2)}`;
    // A write first: the server that this client is connected to may be behind another of the ensemble.
    await new Promise<void>((resolve) =>
      client
        .transaction()
        .check("/")
        .commit(() => resolve()),
    );
    const names = await new Promise<string[]>((resolve, reject) => {
      client.getChildren(bucket, (error, children) => {
        if (error === null || error === undefined) resolve(children);
        else if (error.name === "NO_NODE") resolve([]);
        else reject(error);
      });
    });
    return names
      .filter((name) => name.startsWith(digest.toString("base64url")))
      .sort((one, other) => sequenceOf(one) - sequenceOf(other))
      .map((name) => `${bucket}/${name}`);
  };
  const holders = async (key: string) => {
    const paths = await line(key);
    const firstExclusive = paths.findIndex((path) => path.includes("-x-"));
    return paths.slice(0, firstExclusive === -1 ? paths.length : Math.max(1, firstExclusive));
  };
  const removeNode = (path: string) =>
    new Promise<void>((resolve, reject) => client.remove(path, (error) => (error ? reject(error) : resolve())));
  return {
    client,
    line,
    removeNode,
    holders: async (key) => (await holders(key)).length,
    remove: async (key) => {
      await Promise.all((await holders(key)).map(removeNode));
    },
    close: () => closeClient(client),
  };
}
