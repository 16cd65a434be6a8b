import type { ServerFault } from "../fault.ts";
import { askRedis, redisTimeMs } from "./ask-redis.ts";
import { type ClockTarget, jumpedAhead, jumpedBack } from "./clock-faults.ts";
import type { ShimmedClock } from "./clock-shim.ts";
import { atOnce, ended, hung, LONGER_THAN_A_LEASE, SHORT, type Target } from "./process-faults.ts";
import { severed } from "./severed.ts";

/** Not a lock's. */
const MARKER = "chaos:marker";

/** A Redis that keeps nothing when its process ends, with a clock that can be moved. */
export interface RedisNode extends Target {
  readonly clock: ShimmedClock;
}

/** What is done to the lock nodes of one back-end: to each, and to as many as a majority at once, leaving out those after. */
export function redisLockFaults(nodes: readonly RedisNode[]): ServerFault[] {
  const clocks = nodes.map((node) => ({ ...node, readMs: () => redisTimeMs(node.server.url) }));
  const ofOne = (node: RedisNode, clock: ClockTarget): ServerFault[] => [
    emptied(node, "redis killed and restarted empty", () => node.server.kill().then(() => node.server.restart())),
    ended(node, "redis killed, away for longer than a lease", "kill", LONGER_THAN_A_LEASE),
    hung(node, "redis hung for longer than a lease", LONGER_THAN_A_LEASE),
    hung(node, "redis hung shortly", SHORT),
    connectionsReset(node, "redis reset all connections"),
    emptied(node, "redis flushed", () => askRedis(node.server.url, (client) => client.flushall())),
    jumpedAhead([clock], "redis clock jumped ahead"),
    jumpedBack([clock], "redis clock jumped back"),
  ];
  const each = nodes.flatMap((node, index) => ofOne(node, clocks[index] as ClockTarget));
  if (nodes.length === 1) return each;
  const majority = clocks.slice(0, Math.floor(nodes.length / 2) + 1);
  return [
    ...each,
    atOnce(
      majority.map((node) => hung(node, "most redis hung for longer than a lease", LONGER_THAN_A_LEASE)),
      { breaksExclusion: false },
    ),
    atOnce(
      majority.map((node) => ended(node, "most redis killed, away for longer than a lease", "kill", LONGER_THAN_A_LEASE)),
      // Cut short, they are back and have forgotten everything before the leases are over.
      { breaksExclusion: true },
    ),
    jumpedAhead(majority, "clocks of most redis jumped ahead"),
    jumpedBack(majority, "clocks of most redis jumped back"),
  ];
}

/** What is done to the Redis that is a broker: nothing that makes it forget. */
export function redisBrokerFaults(target: Target): ServerFault[] {
  return [
    ended(target, "redis killed and restarted with its data", "kill"),
    hung(target, "redis hung shortly", SHORT),
    hung(target, "redis hung for longer than a lease", LONGER_THAN_A_LEASE),
    connectionsReset(target, "redis reset all connections"),
  ];
}

/**
 * It has forgotten what it knew, and serves. Of three one may be enough to break exclusion, since a lock that was had while another
 * was silent has no vote to spare.
 */
function emptied({ name, server }: RedisNode, kind: string, empty: () => Promise<unknown>): ServerFault {
  let wasMarked = false;
  return {
    kind,
    target: name,
    breaksExclusion: true,
    lastsMs: SHORT,
    inject: async () => {
      await askRedis(server.url, (client) => client.set(MARKER, "1"));
      wasMarked = true;
      await empty();
    },
    hasHit: async () => wasMarked && (await askRedis(server.url, (client) => client.exists(MARKER))) === 0,
    heal: async () => {
      wasMarked = false;
    },
  };
}

/** All but the monitor, which is flagged O and must see what comes next. */
function connectionsReset({ name, server: { url } }: Target, kind: string): ServerFault {
  const lines = (list: string): string[] => list.split("\n").filter((line) => /\bflags=(?!O\b)/.test(line));
  return severed(name, kind, {
    list: () =>
      askRedis(url, async (client) => {
        const own = String(await client.client("ID"));
        const list = String(await client.client("LIST"));
        return lines(list)
          .flatMap((line) => /^id=(\d+)/.exec(line)?.[1] ?? [])
          .filter((id) => id !== own);
      }),
    end: (ids) =>
      askRedis(url, async (client) => {
        await Promise.all(ids.map((id) => client.client("KILL", "ID", id)));
      }),
  });
}
