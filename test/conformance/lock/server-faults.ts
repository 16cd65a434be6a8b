import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, it } from "vitest";
import { systemRandom } from "../../../src/random.ts";
import { eventually } from "../../support/eventually.ts";
import { isRunning } from "../../support/process-tree.ts";
import type { ServerProcess } from "../../support/server-process.ts";
import { Holder } from "./holder.ts";
import type { LockProduct } from "./lock-product.ts";
import { splitVote } from "./split-vote.ts";

const TTL_MS = 6_000;
/** Of leases that are to outlive the restart of a server. */
const LONG_TTL_MS = 12_000;
/** Of leases that are to outlive the choice of a leader. */
const LEADER_TTL_MS = 15_000;
/** Every call ends within its own time limit, a part of the ttl or a few seconds; nobody waits for a server for ever. */
const CALL_LIMIT_MS = 8_000;
/** A server that is back is used again once the client has noticed, and once it knows which leases of before are over. */
const RETURN_MS = 30_000;

/** The servers of a product hang and die. Each test undoes its fault, and they run one after another. */
export function serverFaults(product: LockProduct): void {
  const stage = new Stage(product);
  beforeAll(() => stage.begin());
  afterAll(() => stage.end());
  const faults = product.nodes.count === 1 ? SINGLE_SERVER : MAJORITY;

  for (const { what, strike } of faults) {
    it.sequential(`L3 L6 ${what}: the holder is aborted within its ttl, calls fail in time and name nodes`, async ({
      expect,
    }) => {
      await using holder = await stage.holder(TTL_MS);
      await using other = await stage.holder(TTL_MS);
      const key = stage.freshKey();
      const hold = await holder.hold(key);

      await using fault = await stage.suffer(strike);
      const failure = await failing(other);
      const abort = await hold.aborted();
      const released = await hold.release();
      await fault.undo();

      // Of independent nodes each is known by its own silence; of others, that nobody answers.
      const named =
        product.nodes.kind === "independent" ? fault.struck.map(({ host, port }) => `${host}:${port}`) : [expect.any(String)];
      expect(failure.error).toMatchObject({
        code: "LOCK_UNREACHABLE",
        details: {
          backend: expect.any(String),
          nodes: expect.arrayContaining(named.map((node) => ({ node, cause: expect.any(String) }))),
        },
      });
      expect(failure.tookMs).toBeLessThan(CALL_LIMIT_MS);
      expect(abort).toMatchObject({ beforeTtl: true });
      expect(hold.lock.signal.reason).toMatchObject({ code: "LEASE_LOST" });
      expect(released).toBe(false);
      const again = await other.hold(key, RETURN_MS);
      expect(await stage.holders(key)).toBe(1);
      expect(await again.release()).toBe(true);
      await eventually(async () => (await stage.holders(key)) === 0, { what: "a free key" });
    });
  }

  const survives = product.survivesRestart;
  it.sequential(`L3 killed and started again ${survives ? "with what it knew: the holder keeps its lease" : "empty: the holder is aborted within its ttl"}`, async ({
    expect,
  }) => {
    await using holder = await stage.holder(LONG_TTL_MS);
    await using other = await stage.holder(LONG_TTL_MS);
    const key = stage.freshKey();
    const hold = await holder.hold(key);

    await Promise.all(stage.servers.map((server) => server.kill()));
    await Promise.all(stage.servers.map((server) => server.restart()));
    const restartedAtMs = performance.now();

    if (survives) {
      await hold.keptAfter(restartedAtMs, RETURN_MS);
      expect(hold.isAborted).toBe(false);
      expect(await stage.holders(key)).toBe(1);
      expect(await hold.release()).toBe(true);
    } else {
      expect(await hold.aborted()).toMatchObject({ beforeTtl: true });
      expect(await hold.release()).toBe(false);
    }
    const next = await other.hold(key, RETURN_MS);
    expect(await stage.holders(key)).toBe(1);
    expect(await next.release()).toBe(true);
  });

  if (product.nodes.count >= 3) minorityFaults(stage);
  if (product.nodes.kind === "independent") splitVote(product, () => stage.urls);
}

/** A minority that fails costs nothing, but for the time in which replicated servers agree upon a new leader. */
function minorityFaults(stage: Stage): void {
  const dead = { what: "dead", strike: (server: ServerProcess) => server.kill() };
  const hung = { what: "hung", strike: async (server: ServerProcess) => server.hang() };
  for (const { what, strike } of stage.isReplicated ? [dead] : [dead, hung]) {
    it.sequential(`L6 one ${what} node: a lease is kept, and keys are won, extended and given back`, async ({ expect }) => {
      await using holder = await stage.holder(LEADER_TTL_MS);
      await using other = await stage.holder(LEADER_TTL_MS);

      for (const victim of stage.minorities) {
        const key = stage.freshKey();
        const hold = await holder.hold(key);
        await using fault = await stage.suffer(async () => {
          await strike(victim);
          return [victim];
        });
        const struckAtMs = performance.now();
        const otherHold = await other.hold(stage.freshKey(), RETURN_MS);
        const refused = await other.exclaim.lock.acquire(key, { waitMs: 100 });
        await hold.keptAfter(struckAtMs, RETURN_MS);

        expect(refused.status).toBe("contended");
        expect(await otherHold.release()).toBe(true);
        expect(hold.isAborted).toBe(false);
        expect(await hold.release()).toBe(true);
        await fault.undo();
      }
    });
  }
  if (stage.isReplicated) hungReplica(stage);
}

/** A client of a hung server waits a part of its session or ttl before it turns to another one, which may be too long for a lease. */
function hungReplica(stage: Stage): void {
  it.sequential("L3 L6 one hung node: a lease is kept or ends in time, and keys are won and given back", async ({ expect }) => {
    await using holder = await stage.holder(TTL_MS);
    await using other = await stage.holder(TTL_MS);
    const hold = await holder.hold(stage.freshKey());

    await using fault = await stage.suffer(async (servers) => {
      const [first] = servers;
      first?.hang();
      return servers.slice(0, 1);
    });
    const struckAtMs = performance.now();
    const otherHold = await other.hold(stage.freshKey(), RETURN_MS);
    const released = await otherHold.release();
    await eventually(() => hold.isAborted || hold.lastKeptAtMs > struckAtMs, {
      timeoutMs: RETURN_MS,
      what: "the lease's fate",
    });
    await fault.undo();

    expect(released).toBe(true);
    if (hold.isAborted) expect(await hold.aborted()).toMatchObject({ beforeTtl: true });
    expect(await hold.release()).toBe(!hold.isAborted);
  });
}

interface Fault {
  readonly what: string;
  /** Returns the servers that do not answer any more. */
  strike(servers: readonly ServerProcess[]): Promise<readonly ServerProcess[]>;
}

const SINGLE_SERVER: readonly Fault[] = [
  {
    what: "hung",
    strike: async (servers) => {
      for (const server of servers) server.hang();
      return servers;
    },
  },
  {
    what: "killed",
    strike: async (servers) => {
      await Promise.all(servers.map((server) => server.kill()));
      return servers;
    },
  },
];

/** Of several servers it is the loss of the majority that can be noticed at all. */
const MAJORITY: readonly Fault[] = [
  {
    what: "one hung and the other dead that make a majority",
    strike: async (servers) => {
      const [hung, ...dead] = servers.slice(0, (servers.length + 1) / 2);
      await Promise.all(dead.map((server) => server.kill()));
      hung?.hang();
      return servers.slice(0, (servers.length + 1) / 2);
    },
  },
];

/** What an attempt at a key of its own comes to while the servers are away, by the back-end itself. */
async function failing({ backend, ttlMs }: Holder): Promise<{ readonly error: unknown; readonly tookMs: number }> {
  const startedAtMs = performance.now();
  const error = await Promise.race([
    backend.acquire(`unreachable:${randomUUID()}`, { ttlMs, owner: systemRandom.id() }).catch((thrown: unknown) => thrown),
    delay(2 * CALL_LIMIT_MS, "no end to it"),
  ]);
  return { error, tookMs: performance.now() - startedAtMs };
}

/** The servers of one product, for tests that follow one another. */
class Stage {
  readonly #product: LockProduct;
  #servers: readonly ServerProcess[] = [];

  constructor(product: LockProduct) {
    this.#product = product;
  }

  get servers(): readonly ServerProcess[] {
    return this.#servers;
  }

  get isReplicated(): boolean {
    return this.#product.nodes.kind === "replicated";
  }

  /** Servers that may fail alone, one after another: of replicated ones each, of independent ones any is as good. */
  get minorities(): readonly ServerProcess[] {
    return this.isReplicated ? this.#servers : this.#servers.slice(0, 1);
  }

  get urls(): readonly string[] {
    return this.#servers.map(({ url }) => url);
  }

  async begin(): Promise<void> {
    this.#servers = await this.#product.startServers();
    if (this.#servers.length !== this.#product.nodes.count) throw new Error("nodes.count is not what startServers() starts");
  }

  freshKey(): string {
    return `server:${randomUUID()}`;
  }

  holder(ttlMs: number): Promise<Holder> {
    return Holder.open(this.#product, this.urls, ttlMs);
  }

  /** By a new connection each time: those of before may have died with their server. */
  async holders(key: string): Promise<number> {
    const inspector = await this.#product.inspect(this.urls);
    try {
      return await inspector.holders(key);
    } finally {
      await inspector.close();
    }
  }

  /** Strikes the servers. Undone, all of them answer again. */
  async suffer(strike: Fault["strike"]) {
    const struck = await strike(this.#servers);
    const undo = async () => {
      for (const server of this.#servers) server.resume();
      const dead = this.#servers.filter(({ pid }) => !isRunning(pid));
      await Promise.all(dead.map((server) => server.restart()));
    };
    return { struck, undo, [Symbol.asyncDispose]: undo };
  }

  async end(): Promise<void> {
    await Promise.all(this.#servers.map((server) => server.stop()));
  }
}
