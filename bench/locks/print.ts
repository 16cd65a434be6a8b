import type { Spread } from "../statistics.ts";
import { signed, table, whole } from "../table.ts";
import { LOSSES } from "./loss-calls.ts";
import type { LossReport, LossRow, LossSeen } from "./losses.ts";
import type { PauseReport } from "./pauses.ts";
import type { SpacingReport } from "./spacing.ts";
import type { SplitVoteReport } from "./split-vote.ts";
import type { ThroughputReport } from "./throughput.ts";

export function printThroughput({ rounds, roundMs, rows }: ThroughputReport): string {
  const groups = new Map<string, string[][]>();
  for (const { contender, nodes, concurrency, perSecond, cpuMicros, ratioToRaw } of rows) {
    const title = `${plural(nodes, "node")}, ${plural(concurrency, "worker")}`;
    const group = groups.get(title) ?? [];
    groups.set(title, group);
    group.push([
      contender,
      whole(perSecond.median),
      whole(perSecond.min),
      whole(perSecond.max),
      ratioToRaw.toFixed(2),
      whole(cpuMicros.median),
    ]);
  }
  const tables = [...groups].map(([title, lines]) => table([title, "median/s", "min/s", "max/s", "to raw", "cpu µs"], lines));
  return section(
    "Acquire + release a second",
    `${plural(rounds, "round")} of ${roundMs} ms each, contenders in turn, keys that nobody else wants. To raw: of the medians.\ncpu µs: this process's own processor time for one cycle, the figure to trust on a busy machine.\nexclaim is redis() on one node and redlock() on more, by itself (back-end) and renewed and watched over (lock).`,
    tables,
  );
}

export function printLosses({ ttlMs, watchMs, rounds, rows }: LossReport): string {
  const heads = ["ms", ...LOSSES.flatMap((loss) => [`${loss}: told after`, "to end"]), "uncaught"];
  const named = {
    limited: "Connections with maxRetriesPerRequest 1, no offline queue, commandTimeout ttl/4",
    plain: "Connections as ioredis opens them unasked",
  };
  const tables = (["limited", "plain"] as const)
    .filter((kind) => rows[kind].length > 0)
    .map((kind) => `${named[kind]}:\n\n${table(heads, rows[kind].map(lossCells))}`);
  return section(
    `From loss to abort, ttl ${whole(ttlMs)} ms`,
    [
      `The worst of ${plural(rounds, "round")}. stolen: somebody deleted the key and set their own, on all nodes. hung, killed: all servers, SIGSTOP, SIGKILL.`,
      "To end: the abort, counted from the instant at which the servers could give the lock to somebody else, which is the ttl",
      "after the last extension they saw. Below 0 the holder was told in time; above 0 two could hold it for that long.",
      `never: not within ${whole(watchMs)} ms after the loss. Uncaught: rejections and exceptions out of the caller's reach, of all rounds.`,
      "redlock 4 has no signal and renews nothing. exclaim.lock and redis-semaphore use their one-node lock on one node.",
    ].join("\n"),
    tables,
  );
}

function lossCells({ contender, nodes, seen, uncaught }: LossRow): string[] {
  const told = LOSSES.flatMap((loss) => {
    if (seen === null) return ["no signal", "no signal"];
    return [worst(seen[loss], "afterLossMs", whole), worst(seen[loss], "afterTtlMs", signed)];
  });
  return [`${contender}, ${plural(nodes, "node")}`, ...told, seen === null ? "-" : whole(uncaught)];
}

/** A loss that was never told of is the worst. */
function worst(seen: readonly LossSeen[], field: keyof LossSeen, format: (value: number) => string): string {
  const values = seen.map((one) => one[field]);
  const untold = values.filter((value) => value === null).length;
  if (untold === values.length) return "never";
  const latest = format(Math.max(...values.flatMap((value) => value ?? [])));
  return untold === 0 ? latest : `${latest}, ${untold} x never`;
}

export function printSplitVote({ ttlMs, rounds, waitMs, nearMs, farMs, rows }: SplitVoteReport): string {
  const lines = rows.map(({ contender, firstWinMs, allServedMs, unwon, unserved }) => [
    contender,
    ...medianAndWorst(firstWinMs),
    whole(unwon),
    ...medianAndWorst(allServedMs),
    whole(unserved),
  ]);
  const heads = ["ms", "first win: median", "worst", "rounds without", "all served: median", "worst", "rounds without"];
  return section(
    `Split vote: three at once on 5 nodes, ttl ${whole(ttlMs)} ms`,
    `${plural(rounds, "round")}. Each is ${nearMs} ms from its nodes and ${farMs} ms from the others, one way, so the first votes are split 2 : 2 : 1. Waits up to ${whole(waitMs)} ms.`,
    [table(heads, lines)],
  );
}

function medianAndWorst(spread: Spread | null): string[] {
  return spread === null ? ["-", "-"] : [whole(spread.median), whole(spread.max)];
}

export function printPauses({ ttlMs, pauses, keys, rows }: PauseReport): string {
  const lines = rows.map(({ use, cycles, overlappingCycles, overlappingEffects, effects, uncaught }) => [
    use,
    ...[cycles, overlappingCycles, overlappingEffects, effects, uncaught].map(whole),
  ]);
  return section(
    `Overlaps after a pause, ttl ${whole(ttlMs)} ms`,
    [
      `The holder's process is stopped (SIGSTOP) until others have its keys, ${plural(pauses, "time")} with ${plural(keys, "key")}, and goes on.`,
      "Overlapping: effects that it did although somebody else had the key, and the cycles in which it did any.",
    ].join("\n"),
    [table(["use", "cycles", "overlapping cycles", "overlapping effects", "of all effects", "uncaught errors"], lines)],
  );
}

export function printSpacing({ intervalMs, workers, rows }: SpacingReport): string {
  const lines = rows.map(({ contender, workMs, starts, errorMs, overlaps }) => [
    `${contender}, work of ${whole(workMs)} ms`,
    ...[errorMs.min, errorMs.median, errorMs.max].map((value) => signed(value)),
    whole(overlaps),
    whole(starts),
  ]);
  return section(
    `Spacing error against T = ${whole(intervalMs)} ms`,
    `${plural(workers, "worker")} for one key. The gap between two starts less T, in ms; overlaps: starts while another one was still at work.`,
    [table(["gap - T", "min", "p50", "max", "overlaps", "starts"], lines)],
  );
}

function section(title: string, explanation: string, tables: readonly string[]): string {
  return [`== ${title}`, explanation, ...tables].join("\n\n");
}

function plural(count: number, noun: string): string {
  return `${whole(count)} ${noun}${count === 1 ? "" : "s"}`;
}
