/**
 * From loss to abort: a key that somebody else takes over, servers that hang, servers that are killed.
 *
 * Every package runs in a process of its own and holds a lock for each loss. exclaim: `exclaim.lock`, its `signal`. redlock 5:
 * `using`, its signal. redis-semaphore: `Mutex` or `RedlockMutex`, its `onLockLost`. redlock 4 tells of nothing.
 */
import { setTimeout as delay } from "node:timers/promises";
import type { ServerProcess } from "../../test/support/server-process.ts";
import { Child, type Condition } from "../child.ts";
import type { Stage } from "../stage.ts";
import { type ConnectionKind, connect, disconnect } from "./connections.ts";
import type { Contender } from "./contender.ts";
import { redlock4 } from "./contenders/redlock-4.ts";
import { type Doomed, inflictLoss, type Loss } from "./inflict-loss.ts";
import { LOSSES, type LossCalls, type LossKind, TELLING } from "./loss-calls.ts";
import { monotonicMs } from "./monotonic.ts";
import type { LossSizes } from "./options.ts";

/** How one loss was told of; null: not at all while it was watched. */
export interface LossSeen {
  readonly afterLossMs: number | null;
  /** Counted from the moment at which the servers could give the lock to somebody else. */
  readonly afterTtlMs: number | null;
}

export interface LossRow {
  readonly contender: string;
  readonly nodes: number;
  /** Null for a package that has no way to tell. */
  readonly seen: Readonly<Record<LossKind, readonly LossSeen[]>> | null;
  readonly uncaught: number;
  readonly uncaughtExample: string | undefined;
  /** The longest that the event loop of its process kept a timer waiting. */
  readonly latestTimerMs: number;
}

export interface LossReport {
  readonly ttlMs: number;
  readonly watchMs: number;
  readonly rounds: number;
  readonly rows: Readonly<Record<ConnectionKind, readonly LossRow[]>>;
}

interface Holder {
  readonly contender: Contender;
  readonly nodes: number;
  readonly child: Child<LossCalls>;
  readonly seen: Record<LossKind, LossSeen[]>;
  readonly uncaught: string[];
  latestTimerMs: number;
}

const NODES = 3;
const MAX_TRIES = 4;

export async function measureLosses(stage: Stage, sizes: LossSizes): Promise<LossReport> {
  const servers: Record<LossKind, readonly ServerProcess[]> = {
    stolen: await stage.startRedis(NODES),
    hung: await stage.startRedis(NODES),
    killed: await stage.startRedis(NODES),
  };
  const rows = { limited: [] as LossRow[], plain: [] as LossRow[] };
  for (const connections of sizes.connections) {
    const holders = [1, NODES].flatMap((nodes) =>
      TELLING.map((contender) => startHolder(contender, nodes, Child.start<LossCalls>(stage, "locks/loss-holder.ts"))),
    );
    let played = 0;
    for (let tries = 1; played < sizes.rounds; tries += 1) {
      if (tries > MAX_TRIES * sizes.rounds)
        throw new Error("this machine stalls too often for locks to be kept until they are lost");
      if (await playRound(holders, servers, connections, tries, sizes)) played += 1;
    }
    rows[connections] = [...holders.map(rowOf), ...[1, NODES].map((nodes) => silentRow(redlock4, nodes))];
  }
  const { ttlMs, watchMs, rounds } = sizes;
  return { ttlMs, watchMs, rounds, rows };
}

function startHolder(contender: Contender, nodes: number, child: Child<LossCalls>): Holder {
  return { contender, nodes, child, seen: { stolen: [], hung: [], killed: [] }, uncaught: [], latestTimerMs: 0 };
}

/** False: a lock was lost before its time, since the machine stalled, and the round does not count. */
async function playRound(
  holders: readonly Holder[],
  servers: Record<LossKind, readonly ServerProcess[]>,
  connections: ConnectionKind,
  round: number,
  { ttlMs, watchMs, holdTtls }: LossSizes,
): Promise<boolean> {
  const keyOf = ({ contender, nodes }: Holder): string => `${contender.name}:${nodes}:${connections}:${round}`;
  const before = await Promise.all(holders.map(({ child }) => child.condition()));
  await Promise.all(
    holders.flatMap((holder) =>
      LOSSES.map((loss) => {
        const urls = servers[loss].slice(0, holder.nodes).map(({ url }) => url);
        return holder.child.ask("hold", {
          contender: holder.contender.name,
          loss,
          key: keyOf(holder),
          urls,
          connections,
          ttlMs,
        });
      }),
    ),
  );
  // Losses find each package anywhere between two extensions.
  await delay(ttlMs * (holdTtls + Math.random()));

  const losses = {} as Record<LossKind, Loss[]>;
  const victims = holders.map((holder) => ({ redisKey: holder.contender.redisKey(keyOf(holder)), nodes: holder.nodes }));
  for (const loss of LOSSES) {
    const controls = await connect(
      servers[loss].map(({ url }) => url),
      {},
    );
    const doomed: Doomed = { servers: servers[loss], controls };
    losses[loss] = await inflictLoss(loss, doomed, victims);
    disconnect(controls);
  }
  const untilMs = monotonicMs() + watchMs;
  const toldAtMs = await Promise.all(holders.map(({ child }) => child.ask("watch", { untilMs })));
  const after = await Promise.all(holders.map(({ child }) => child.condition()));
  await Promise.all(holders.map(({ child }) => child.ask("drop", undefined)));
  for (const server of servers.hung) server.resume();
  await Promise.all(servers.killed.map((server) => server.restart()));

  const isSound = holders.every((_, index) => LOSSES.every((loss) => isInOrder(toldAtMs[index]?.[loss], losses[loss][index])));
  if (!isSound) return false;
  for (const [index, holder] of holders.entries()) {
    for (const loss of LOSSES) holder.seen[loss].push(seenAs(toldAtMs[index]?.[loss], losses[loss][index]));
    noteCondition(holder, before[index], after[index]);
  }
  return true;
}

function isInOrder(toldAtMs: number | null | undefined, loss: Loss | undefined): boolean {
  return loss !== undefined && !Number.isNaN(loss.endsAtMs) && (toldAtMs ?? Number.POSITIVE_INFINITY) >= loss.lostAtMs;
}

function seenAs(toldAtMs: number | null | undefined, loss: Loss | undefined): LossSeen {
  if (toldAtMs === null || toldAtMs === undefined || loss === undefined) return { afterLossMs: null, afterTtlMs: null };
  return { afterLossMs: toldAtMs - loss.lostAtMs, afterTtlMs: toldAtMs - loss.endsAtMs };
}

/** What is cut off when a round ends is our doing, so only what came before counts. */
function noteCondition(holder: Holder, before: Condition | undefined, after: Condition | undefined): void {
  if (after === undefined) return;
  holder.uncaught.push(...after.uncaught.slice(before?.uncaught.length));
  holder.latestTimerMs = Math.max(holder.latestTimerMs, after.latestTimerMs);
}

function rowOf({ contender, nodes, seen, uncaught, latestTimerMs }: Holder): LossRow {
  return { contender: contender.name, nodes, seen, uncaught: uncaught.length, uncaughtExample: uncaught[0], latestTimerMs };
}

function silentRow({ name }: Contender, nodes: number): LossRow {
  return { contender: name, nodes, seen: null, uncaught: 0, uncaughtExample: undefined, latestTimerMs: 0 };
}
