/**
 * Acquire + release a second, on keys that nobody else wants: what the packages cost, not how they queue.
 *
 * Contenders take turns, so that what else the machine does hits all alike. Each has connections of its own, one a node, all opened
 * the same way, and a key a worker. `raw` is the floor; `exclaim back-end`, `redlock 4` and `redlock 5 acquire` neither renew nor
 * watch over the lock; `exclaim.lock`, `redlock 5 using` and `redis-semaphore` do.
 */

import type { Stage } from "../stage.ts";
import { type Spread, spreadOf } from "../statistics.ts";
import type { Contender, Lock } from "./contender.ts";
import { exclaimBackend, exclaimLock } from "./contenders/exclaim.ts";
import { raw } from "./contenders/raw.ts";
import { redisSemaphore } from "./contenders/redis-semaphore.ts";
import { redlock4 } from "./contenders/redlock-4.ts";
import { redlock5Acquire, redlock5Using } from "./contenders/redlock-5.ts";
import type { ThroughputSizes } from "./options.ts";

const CONTENDERS: readonly Contender[] = [
  raw,
  exclaimBackend,
  exclaimLock,
  redlock4,
  redlock5Acquire,
  redlock5Using,
  redisSemaphore,
];

/** Long enough that nothing is renewed meanwhile. */
const TTL_MS = 30_000;

export interface ThroughputRow {
  readonly contender: string;
  readonly nodes: number;
  readonly concurrency: number;
  readonly perSecond: Spread;
  /** Processor time of this process for one cycle, in µs: what else the machine does hardly changes it. */
  readonly cpuMicros: Spread;
  /** Of the medians. */
  readonly ratioToRaw: number;
}

/** One contender's turn. */
interface Round {
  readonly perSecond: number;
  readonly cpuMicros: number;
}

export interface ThroughputReport {
  readonly rounds: number;
  readonly roundMs: number;
  readonly rows: readonly ThroughputRow[];
}

export async function measureThroughput(stage: Stage, sizes: ThroughputSizes): Promise<ThroughputReport> {
  const servers = await stage.startRedis(Math.max(...sizes.nodes));
  const rows: ThroughputRow[] = [];
  for (const nodes of sizes.nodes) {
    const urls = servers.slice(0, nodes).map(({ url }) => url);
    const locks = await Promise.all(CONTENDERS.map((contender) => openLock(stage, contender, urls)));
    for (const concurrency of sizes.concurrency) {
      const seen = await playRounds(locks, concurrency, sizes);
      const floor = perSecondOf(seen[0]).median;
      CONTENDERS.forEach(({ name }, index) => {
        const perSecond = perSecondOf(seen[index]);
        const cpuMicros = spreadOf((seen[index] ?? []).map((round) => round.cpuMicros));
        rows.push({ contender: name, nodes, concurrency, perSecond, cpuMicros, ratioToRaw: perSecond.median / floor });
      });
    }
    await Promise.all(locks.map((lock) => lock.close()));
  }
  return { rounds: sizes.rounds, roundMs: sizes.roundMs, rows };
}

async function openLock(stage: Stage, contender: Contender, urls: readonly string[]): Promise<Lock> {
  const clients = await stage.connect(urls, { maxRetriesPerRequest: 1, enableOfflineQueue: false });
  return contender.open(clients, TTL_MS);
}

/** A first round warms up and does not count. */
async function playRounds(locks: readonly Lock[], concurrency: number, sizes: ThroughputSizes): Promise<Round[][]> {
  const seen: Round[][] = locks.map(() => []);
  for (let round = 0; round <= sizes.rounds; round += 1) {
    for (const [index, lock] of locks.entries()) {
      const measured = await playRound(lock, concurrency, sizes.roundMs);
      if (round > 0) seen[index]?.push(measured);
    }
  }
  return seen;
}

function perSecondOf(rounds: readonly Round[] | undefined): Spread {
  return spreadOf((rounds ?? []).map(({ perSecond }) => perSecond));
}

async function playRound(lock: Lock, concurrency: number, roundMs: number): Promise<Round> {
  const cpuBefore = process.cpuUsage();
  const startMs = performance.now();
  let cycles = 0;
  const worker = async (_: unknown, index: number): Promise<void> => {
    while (performance.now() - startMs < roundMs) {
      await lock.cycle(`throughput:${index}`);
      cycles += 1;
    }
  };
  await Promise.all(Array.from({ length: concurrency }, worker));
  const { user, system } = process.cpuUsage(cpuBefore);
  return { perSecond: (cycles / (performance.now() - startMs)) * 1_000, cpuMicros: (user + system) / cycles };
}
