import type { LockCommand } from "../../checker/history.ts";
import { startCutProxy } from "../../support/cut-proxy.ts";
import { startEtcd } from "../../support/etcd.ts";
import { startPrivateServer } from "../../support/ladder.ts";
import { startMariadb } from "../../support/mariadb.ts";
import { startRabbitmq } from "../../support/rabbitmq.ts";
import type { ServerProcess } from "../../support/server-process.ts";
import type { Service } from "../../support/service.ts";
import { postgres } from "../../support/services/postgres.ts";
import { redis } from "../../support/services/redis.ts";
import { startZookeeper } from "../../support/zookeeper.ts";
import type { ServerFault } from "../fault.ts";
import { buildClockShim, type ClockShim, type ShimmedClock, underClock } from "./clock-shim.ts";
import { GREETINGS } from "./first-answer.ts";
import { LockMonitor } from "./lock-monitor.ts";
import { mariadbFaults } from "./mariadb-faults.ts";
import { postgresFaults } from "./postgres-faults.ts";
import { proxiedFaults } from "./proxied-faults.ts";
import { rabbitmqFaults } from "./rabbitmq-faults.ts";
import { redisBrokerFaults, redisLockFaults } from "./redis-faults.ts";

/**
 * Of the Redis that is a broker. It writes each command to its log before it answers: with appendfsync at everysec it would wait with
 * that while the disk is busy, and a kill would take what it had acknowledged.
 */
const KEEPING_ARGUMENTS = ["--appendonly", "yes", "--appendfsync", "no"];

const NODES: Readonly<Record<string, number>> = { redlock: 3, "node-redlock": 3, redis: 1 };

/** The servers of a run: private ones, kept from its first episode to its last. */
export interface ChaosServers {
  /** Of the ledger's PostgreSQL, which is the server of the lock back-end `postgres` too: its database `postgres`. */
  readonly databaseUrl: string;
  readonly brokerUrls: { readonly bullmq?: string; readonly rabbitmq?: string };
  /** By lock back-end, those that were asked for: three of `redlock` and `node-redlock`, one of any other. */
  readonly lockUrls: Readonly<Record<string, readonly string[]>>;
  /** Of every server there is, in an order that the seed gives; one after another they are independent of each other. */
  readonly faults: readonly ServerFault[];
  /** Of the servers that a broker and a lock back-end use, and of the ledger's: a fault of another would hit nobody. */
  faultsOf(broker: string, lock: string): readonly ServerFault[];
  /** What the Redis lock nodes ran since this was last asked, by their monitors. */
  lockCommands(): readonly LockCommand[];
  /** Whether the servers of a lock back-end have monitors. */
  isMonitored(lock: string): boolean;
  /** Ends the servers and removes their folders. */
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * Starts what is asked for, and the ledger's PostgreSQL, all or none.
 * Shape: `locks` of redlock, redis, node-redlock, etcd, zookeeper, postgres, mysql; `brokers` of bullmq, rabbitmq.
 */
export async function openServers(options: {
  readonly locks: readonly string[];
  readonly brokers: readonly string[];
  readonly seed: number;
  /** Whether the ledger's clock is moved too. @default true */
  readonly movesLedgerClock?: boolean;
}): Promise<ChaosServers> {
  const { movesLedgerClock = true } = options;
  const isShimmed = movesLedgerClock || options.locks.some((lock) => NODES[lock] !== undefined);
  const opening = new Opening(isShimmed ? await buildClockShim() : undefined);
  try {
    const locks = [...new Set(options.locks)].filter((lock) => lock !== "postgres");
    const brokers = [...new Set(options.brokers)];
    const starting = [
      opening.database(movesLedgerClock),
      ...brokers.map((name) => opening.broker(name)),
      ...locks.map((name) => opening.lock(name)),
    ];
    // When one does not start, all the others are known before anything is undone.
    await Promise.allSettled(starting);
    const [[databaseUrl = ""] = [], ...urls] = await Promise.all(starting);
    const brokerUrls = Object.fromEntries(brokers.map((name, index) => [name, urls[index]?.[0] ?? ""]));
    const lockUrls = Object.fromEntries(locks.map((name, index) => [name, urls[brokers.length + index] ?? []]));
    if (options.locks.includes("postgres")) lockUrls.postgres = [databaseUrl];
    const order = shuffled(opening.inOrder(), options.seed);
    return {
      databaseUrl,
      brokerUrls,
      lockUrls,
      faults: order.map(({ fault }) => fault),
      faultsOf: (...used) => order.filter(({ user }) => user === "ledger" || used.includes(user)).map(({ fault }) => fault),
      lockCommands: () => opening.monitors.flatMap((monitor) => monitor.take()),
      isMonitored: (lock) => NODES[lock] !== undefined && lockUrls[lock] !== undefined,
      [Symbol.asyncDispose]: () => opening.close(),
    };
  } catch (error) {
    await opening.close();
    throw error;
  }
}

class Opening {
  /** `user`: the broker or lock back-end whose server it is done to, or the ledger. */
  readonly faults: { readonly user: string; readonly fault: ServerFault }[] = [];
  readonly monitors: LockMonitor[] = [];
  readonly #shim: ClockShim | undefined;
  /** Undone in reverse order. */
  readonly #undo: (() => Promise<unknown> | unknown)[] = [];

  /** `shim`: needed where a clock is moved. */
  constructor(shim: ClockShim | undefined) {
    this.#shim = shim;
    this.#undo.push(() => shim?.[Symbol.dispose]());
  }

  /** Whichever server started first. */
  inOrder() {
    const nameOf = ({ user, fault: { target, kind } }: (typeof this.faults)[number]) => `${user} ${target} ${kind}`;
    return [...this.faults].sort((one, other) => (nameOf(one) < nameOf(other) ? -1 : 1));
  }

  async database(movesClock: boolean): Promise<readonly string[]> {
    const clock = movesClock ? this.#clock() : undefined;
    const server = await this.#keep(startPrivateServer(clock === undefined ? postgres : underClock(postgres, clock)));
    const target = { name: "postgres", server, greeting: GREETINGS.postgres };
    this.#add("ledger", postgresFaults(target, clock));
    return [server.url];
  }

  async broker(name: string): Promise<readonly string[]> {
    if (name === "bullmq") {
      const server = await this.#keep(startPrivateServer(withArguments(redis, KEEPING_ARGUMENTS)));
      this.#add(name, redisBrokerFaults({ name, server, greeting: GREETINGS.redis }));
      return [server.url];
    }
    if (name !== "rabbitmq") throw new Error(`There is no server for a broker ${JSON.stringify(name)}.`);
    const server = await this.#keep(startRabbitmq());
    this.#add(name, rabbitmqFaults({ name, server, greeting: GREETINGS.rabbitmq }));
    return [server.url];
  }

  /** Of a back-end with servers of its own. */
  async lock(name: string): Promise<readonly string[]> {
    if (NODES[name] !== undefined) return this.#redisNodes(name, NODES[name]);
    if (name === "etcd") return this.#proxied(name, await this.#keep(startEtcd()), GREETINGS.etcd);
    if (name === "zookeeper") return this.#proxied(name, await this.#keep(startZookeeper()), GREETINGS.zookeeper);
    if (name !== "mysql") throw new Error(`There are no servers for a lock back-end ${JSON.stringify(name)}.`);
    const server = await this.#keep(startMariadb());
    this.#add(name, mariadbFaults({ name: "mariadb", server, greeting: GREETINGS.mariadb }));
    return [server.url];
  }

  async close(): Promise<void> {
    for (const undo of this.#undo.splice(0).reverse()) await undo();
  }

  #clock(): ShimmedClock {
    if (this.#shim === undefined) throw new Error("No clock was built.");
    return this.#shim.clock();
  }

  async #redisNodes(lock: string, count: number): Promise<readonly string[]> {
    const starting = Array.from({ length: count }, async (_, index) => {
      const clock = this.#clock();
      const server = await this.#keep(startPrivateServer(underClock(redis, clock)));
      const name = `${lock}-${index + 1}`;
      const monitor = await LockMonitor.open(name, server);
      this.#undo.push(() => monitor.close());
      this.monitors.push(monitor);
      return { name, server, clock, greeting: GREETINGS.redis };
    });
    await Promise.allSettled(starting);
    const nodes = await Promise.all(starting);
    this.#add(lock, redisLockFaults(nodes));
    return nodes.map(({ server }) => server.url);
  }

  async #proxied(name: string, server: ServerProcess, greeting: Buffer): Promise<readonly string[]> {
    const proxy = await startCutProxy(server.url);
    this.#undo.push(() => proxy.close());
    this.#add(name, proxiedFaults({ name, server, greeting }, name, proxy));
    return [proxy.url];
  }

  #add(user: string, faults: readonly ServerFault[]): void {
    this.faults.push(...faults.map((fault) => ({ user, fault })));
  }

  async #keep<Server extends ServerProcess>(starting: Promise<Server>): Promise<Server> {
    const server = await starting;
    this.#undo.push(() => server.stop());
    return server;
  }
}

/** The last of an argument's values counts. */
function withArguments(service: Service, args: readonly string[]): Service {
  return {
    ...service,
    start: (place, port) => {
      const command = service.start(place, port);
      return { ...command, args: [...command.args, ...args] };
    },
  };
}

/** The same order for the same seed. */
function shuffled<Item>(items: readonly Item[], seed: number): Item[] {
  const rest = [...items];
  let state = seed >>> 0;
  const order: Item[] = [];
  while (rest.length > 0) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    order.push(...rest.splice(Math.floor((state / 2 ** 32) * rest.length), 1));
  }
  return order;
}
