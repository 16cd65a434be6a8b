/**
 * Three contenders for one key on five nodes, at once. Two are near two nodes each and one is near the fifth, so the first votes are
 * split 2 : 2 : 1 and nobody has a majority. How long until somebody wins?
 *
 * All are told to wait long. exclaim: `waitMs`. redlock 4 and 5: as many retries, at their own pace of 200 ms +- 100.
 * redis-semaphore: `acquireTimeout`, at its own pace of 10 ms. The winner releases at once, and the round ends when all three have had
 * the lock or given up.
 */

import type { Stage } from "../stage.ts";
import { type Spread, spreadOf } from "../statistics.ts";
import { CONNECTIONS } from "./connections.ts";
import type { Contender, Lock } from "./contender.ts";
import { exclaimLock } from "./contenders/exclaim.ts";
import { redisSemaphore } from "./contenders/redis-semaphore.ts";
import { redlock4 } from "./contenders/redlock-4.ts";
import { redlock5Acquire } from "./contenders/redlock-5.ts";
import { startDelayProxy } from "./delay-proxy.ts";
import type { SplitVoteSizes } from "./options.ts";

const CONTENDERS: readonly Contender[] = [exclaimLock, redlock4, redlock5Acquire, redisSemaphore];

const NODES = 5;
/** The nodes near each of the three. */
const NEAR: readonly (readonly number[])[] = [[0, 1], [2, 3], [4]];
const WAIT_TTLS = 10;

export interface SplitVoteRow {
  readonly contender: string;
  /** Of the rounds that somebody won. */
  readonly firstWinMs: Spread | null;
  /** Until all three have had it, of the rounds in which they did. */
  readonly allServedMs: Spread | null;
  /** Rounds without a first win within the wait. */
  readonly unwon: number;
  /** Rounds that not all three won within the wait. */
  readonly unserved: number;
}

export interface SplitVoteReport {
  readonly ttlMs: number;
  readonly rounds: number;
  readonly waitMs: number;
  readonly nearMs: number;
  readonly farMs: number;
  readonly rows: readonly SplitVoteRow[];
}

export async function measureSplitVote(stage: Stage, sizes: SplitVoteSizes): Promise<SplitVoteReport> {
  const servers = await stage.startRedis(NODES);
  const places = await Promise.all(
    NEAR.map((near) =>
      Promise.all(
        servers.map(async ({ url }, node) => {
          const proxy = await startDelayProxy(url, near.includes(node) ? sizes.nearMs : sizes.farMs);
          stage.atEnd(() => proxy.close());
          return proxy.url;
        }),
      ),
    ),
  );
  const waitMs = WAIT_TTLS * sizes.ttlMs;
  const teams = await Promise.all(CONTENDERS.map((contender) => openTeam(stage, contender, places, sizes.ttlMs)));
  const seen = CONTENDERS.map(() => [] as number[][]);
  for (let round = 0; round < sizes.rounds; round += 1) {
    for (const [index, team] of teams.entries()) seen[index]?.push(await playRound(team, `split:${index}:${round}`, waitMs));
  }
  await Promise.all(teams.flat().map((lock) => lock.close()));
  const rows = CONTENDERS.map(({ name }, index) => rowOf(name, seen[index] ?? []));
  return { ttlMs: sizes.ttlMs, rounds: sizes.rounds, waitMs, nearMs: sizes.nearMs, farMs: sizes.farMs, rows };
}

/** Three of a kind, each at its place, with its first commands behind it. */
async function openTeam(
  stage: Stage,
  contender: Contender,
  places: readonly (readonly string[])[],
  ttlMs: number,
): Promise<readonly Lock[]> {
  return Promise.all(
    places.map(async (urls, place) => {
      const lock = contender.open(await stage.connect(urls, CONNECTIONS.limited(4 * ttlMs)), ttlMs);
      await (await lock.acquire(`warm:${contender.name}:${place}`, WAIT_TTLS * ttlMs))?.release();
      return lock;
    }),
  );
}

/** When each win came, from the start, first one first. */
async function playRound(team: readonly Lock[], key: string, waitMs: number): Promise<number[]> {
  const startMs = performance.now();
  const wins: number[] = [];
  await Promise.all(
    team.map(async (lock) => {
      const hold = await lock.acquire(key, waitMs).catch(() => null);
      if (hold === null) return;
      wins.push(performance.now() - startMs);
      await hold.release().catch(() => {});
    }),
  );
  return wins;
}

function rowOf(contender: string, rounds: readonly (readonly number[])[]): SplitVoteRow {
  const first = rounds.flatMap((wins) => wins[0] ?? []);
  const last = rounds.flatMap((wins) => wins[NEAR.length - 1] ?? []);
  return {
    contender,
    firstWinMs: first.length > 0 ? spreadOf(first) : null,
    allServedMs: last.length > 0 ? spreadOf(last) : null,
    unwon: rounds.length - first.length,
    unserved: rounds.length - last.length,
  };
}
