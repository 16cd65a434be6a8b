import type { Redis } from "ioredis";
import type { ServerProcess } from "../../test/support/server-process.ts";
import type { LossKind } from "./loss-calls.ts";
import { monotonicMs } from "./monotonic.ts";

/** Long enough for the signal that follows, short enough to be over when a hung server goes on. */
const HALT_MS = 300;
const THIEF_TTL_MS = 60_000;

/** Servers that meet the same fate, with a connection of our own to each. */
export interface Doomed {
  readonly servers: readonly ServerProcess[];
  readonly controls: readonly Redis[];
}

/** A lock held on the first `nodes` of the servers. */
export interface Victim {
  readonly redisKey: string;
  readonly nodes: number;
}

/** When a lock was lost, and when its ttl is over so that the servers may give it to somebody else; the machine's monotonic clock. */
export interface Loss {
  readonly lostAtMs: number;
  /** NaN: it was over before, since this machine stalled. */
  readonly endsAtMs: number;
}

/**
 * Makes the locks get lost, all at once.
 * The remaining ttl is read in the same transaction that takes the key away or, before the signal, halts the server's clients: no
 * extension can come between.
 */
export async function inflictLoss(kind: LossKind, { servers, controls }: Doomed, victims: readonly Victim[]): Promise<Loss[]> {
  const lostAtMs = monotonicMs();
  const byNode = await Promise.all(
    controls.map((control, node) =>
      lastMoments(
        kind,
        control,
        victims.filter(({ nodes }) => node < nodes),
      ),
    ),
  );
  if (kind === "hung") for (const server of servers) server.hang();
  if (kind === "killed") await Promise.all(servers.map((server) => server.kill()));
  return victims.map(({ redisKey, nodes }) => {
    const ends = byNode.slice(0, nodes).map((byKey) => byKey.get(redisKey) ?? Number.NaN);
    // Somebody else can win once a majority of the nodes is free.
    const endsAtMs = ends.includes(Number.NaN) ? Number.NaN : ends.sort((a, b) => a - b)[Math.floor(nodes / 2)];
    return { lostAtMs, endsAtMs: endsAtMs ?? Number.NaN };
  });
}

/** When each key ends on one node, by its key. */
async function lastMoments(kind: LossKind, control: Redis, victims: readonly Victim[]): Promise<Map<string, number>> {
  const transaction = control.multi();
  for (const { redisKey } of victims) transaction.pttl(redisKey);
  for (const { redisKey } of kind === "stolen" ? victims : []) {
    transaction.del(redisKey).set(redisKey, "thief", "PX", THIEF_TTL_MS);
  }
  if (kind !== "stolen") transaction.call("CLIENT", "PAUSE", String(HALT_MS), "ALL");
  const sentAtMs = monotonicMs();
  const answers = (await transaction.exec()) ?? [];
  return new Map(
    victims.map(({ redisKey }, index) => {
      const [error, remainingMs] = answers[index] ?? [];
      if (error || typeof remainingMs !== "number") throw new Error(`${redisKey} could not be read`, { cause: error });
      return [redisKey, remainingMs < 0 ? Number.NaN : sentAtMs + remainingMs];
    }),
  );
}
