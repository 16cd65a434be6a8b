import { type Clock, systemClock } from "../clock.ts";
import { ExclaimError } from "../errors.ts";
import type { LockAttempt, LockBackend, LockLease } from "./lock.ts";
import { type Call, limited, Silence } from "./zookeeper-call.ts";
import { codeOf, serverOf, type ZookeeperClient } from "./zookeeper-client.ts";
import { Nodes } from "./zookeeper-nodes.ts";
import { Places } from "./zookeeper-places.ts";
import { Session } from "./zookeeper-session.ts";
import { Watches } from "./zookeeper-watches.ts";

const CALL_TIMEOUT_TTL_FRACTION = 0.05;
const MIN_CALL_TIMEOUT_MS = 250;
/** Who only watches has no ttl. */
const WATCH_TIMEOUT_MS = 1_000;
/** A server's tickTime unless configured otherwise: it ends sessions in such steps. */
const TICK_MS = 2_000;

export interface ZookeeperOptions {
  /** The node that everything is kept under; made when it is not there. @default "/exclaim-locks" */
  readonly root?: string;
  /** How long one call waits for the server, in ms. @default 5 % of the lease's ttl, at least 250; 1,000 for `watch` */
  readonly callTimeoutMs?: number;
  /** ACLs of all that is made, as the client has them. @default the client's own, which allow everything to everybody */
  readonly acl?: readonly unknown[];
  /** @default the process's monotonic clock */
  readonly clock?: Clock;
}

/**
 * A lock kept by a ZooKeeper ensemble as long as the client's session lasts, with a fair line, shared mode and wake-ups.
 * Shape: a connected client of the package node-zookeeper-client, or a function that returns the current one. The session is the
 *   client's life: pass a function, and make a new client when one emits `expired`. In a line each holder and waiter is an ephemeral
 *   sequential node.
 * Unit: ms. Every call ends within `callTimeoutMs`, whatever the client does.
 * The ttl: the server knows none, and frees a key that is not given back when the session ends. So the session must outlast a lease's
 *   ttl, or `acquire` throws CONFIG_INVALID. Let it last 1.5 times as long: a server of an ensemble that dies may not yet have told the
 *   others that it heard from the client. `extend` is a write that most servers agree to and that fails with the session.
 * After a failed call: what it may have left is removed in the background, as soon as the server answers again.
 * What if the process dies: its keys are free, and its places in line gone, when the session times out.
 * Connections: this cuts the client's connection when it has been silent for a third of the session while a call waited, so that the
 *   client goes on to the next server with its session; by itself it would wait until TCP gives up. Others that use the client see
 *   their requests fail then, as after any broken connection.
 * Known limits: a paused process works on after its lease. A client that two programs share the session of, servers that enforce
 *   quotas or throttle: the client throws on error codes that it does not know. The lock keeps the crowd away from the database; the
 *   ledger's token is what guards data.
 * Throws CONFIG_INVALID: no client, a root that is no path, a time limit that is none.
 * Source: ZooKeeper 3.8, "Recipes and Solutions: Locks, Shared Locks" and "Programmer's Guide: Sessions, Watches"; ZOOKEEPER-1262 and
 *   CURATOR-604 for what goes wrong.
 */
export function zookeeper(client: ZookeeperClient | (() => ZookeeperClient), options: ZookeeperOptions = {}): LockBackend {
  const { root = "/exclaim-locks", callTimeoutMs, acl, clock = systemClock } = options;
  if (typeof client !== "function") assertClient(client);
  assertRoot(root);
  if (callTimeoutMs !== undefined) assertPositive("callTimeoutMs", callTimeoutMs);
  const connections = new WeakMap<ZookeeperClient, Connection>();

  function current(): Connection {
    const now = typeof client === "function" ? callForClient(client) : client;
    assertClient(now);
    const known = connections.get(now);
    if (known !== undefined) return known;
    const nodes = new Nodes(new Session(now, clock, acl), root);
    const connection = { session: nodes.session, places: new Places(nodes, clock), watches: new Watches(nodes, clock) };
    connections.set(now, connection);
    return connection;
  }

  async function run<T>(
    verb: string,
    key: string,
    limitMs: number,
    work: (call: Call, connection: Connection) => Promise<T>,
  ): Promise<T> {
    const connection = current();
    try {
      return await limited(clock, callTimeoutMs ?? limitMs, (call) => work(call, connection));
    } catch (error) {
      if (error instanceof ExclaimError) throw error;
      if (error instanceof Silence) connection.session.noteSilence(error.wasUnanswered);
      const { client } = connection.session;
      const what = `zookeeper could not ${verb} ${JSON.stringify(key.slice(0, 100))}`;
      throw unreachable(what, serverOf(client), `${causeOf(error)} (client is ${client.getState().name})`);
    }
  }

  async function extendMany(leases: readonly LockLease[]): Promise<readonly boolean[]> {
    const [first] = leases;
    if (first === undefined) return [];
    const ttlMs = Math.min(...leases.map((lease) => lease.ttlMs));
    const keys = leases.length === 1 ? first.key : `${first.key} and ${leases.length - 1} more`;
    return run("extend", keys, limitOf(ttlMs), (call, { places }) => places.extend(call, leases));
  }

  return {
    name: "zookeeper",
    capabilities: { expiry: "session", ttlGranularityMs: TICK_MS, shared: true, fifo: true, push: true },

    async acquire(key, acquisition): Promise<LockAttempt> {
      const { ttlMs, owner, mode } = acquisition;
      assertPositive("ttlMs", ttlMs);
      const isWon = await run("acquire", key, limitOf(ttlMs), (call, { places }) => places.acquire(call, key, acquisition));
      if (!isWon) return { lease: null, retryAfterMs: 0 };
      return { lease: { key, owner, ttlMs, ...(mode === "shared" ? { mode } : {}) } };
    },

    async extend(lease) {
      const [isHeld] = await extendMany([lease]);
      return isHeld === true;
    },

    release: (lease) => run("release", lease.key, limitOf(lease.ttlMs), (call, { places }) => places.release(call, lease)),

    extendMany,

    watch: (waiter, wake) =>
      run("watch", waiter.key, WATCH_TIMEOUT_MS, (call, { watches }) => watches.watch(call, waiter, wake)),
  };
}

/** What belongs to one client. */
interface Connection {
  readonly session: Session;
  readonly places: Places;
  readonly watches: Watches;
}

function limitOf(ttlMs: number): number {
  return Math.max(MIN_CALL_TIMEOUT_MS, ttlMs * CALL_TIMEOUT_TTL_FRACTION);
}

function callForClient(client: () => ZookeeperClient): ZookeeperClient {
  try {
    return client();
  } catch (error) {
    throw unreachable("zookeeper has no client", "the ensemble", `the function that returns it threw: ${causeOf(error)}`);
  }
}

function unreachable(what: string, node: string, cause: string): ExclaimError {
  const message = `${what}: ${cause}. Check the servers, and whether the client's session has expired`;
  return new ExclaimError("LOCK_UNREACHABLE", message, { backend: "zookeeper", nodes: [{ node, cause }] });
}

/** The name of a server's error; else the text, without what may be a password in it. */
function causeOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const text = codeOf(error) === undefined ? error.message : error.name;
  return text.replace(/\/\/[^/@\s]*@/g, "//***@");
}

function assertClient(client: unknown): asserts client is ZookeeperClient {
  if (typeof client === "object" && client !== null && "getSessionId" in client) return;
  throw invalid("needs a client of node-zookeeper-client, or a function that returns the current one: zookeeper(() => client)");
}

function assertRoot(root: string): void {
  const isPath = root === "/" || /^(\/(?!\.\.?(\/|$))[^/\p{Cc}\p{Cs}\p{Co}\p{Cn}]+)+$/u.test(root);
  if (!isPath) throw invalid(`root is the absolute path of a node, such as "/exclaim-locks", not ${JSON.stringify(root)}`);
}

function assertPositive(name: string, valueMs: number): void {
  if (!(Number.isFinite(valueMs) && valueMs > 0)) throw invalid(`${name} is a positive number of ms, not ${valueMs}`);
}

function invalid(message: string): ExclaimError {
  return new ExclaimError("CONFIG_INVALID", `zookeeper: ${message}.`, { backend: "zookeeper" });
}
