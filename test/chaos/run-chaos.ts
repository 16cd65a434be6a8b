import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { InvariantName, Verdict, Violation } from "../checker/history.ts";
import { compilePod } from "./compile-pod.ts";
import { Episode, type EpisodeEnd } from "./episode.ts";
import { planEpisode, type RunChoice } from "./episode-plan.ts";
import { countPlayable } from "./failpoint.ts";
import { FaultTally } from "./fault-tally.ts";
import { monotonicMs } from "./history-log.ts";
import { CLOCK_JUMP_EVERY } from "./nemesis.ts";
import { PodPool } from "./pod-pool.ts";
import { openServers } from "./servers/open-servers.ts";

export interface ChaosOptions extends RunChoice {
  readonly minutes: number;
  /** Where the logs stay. @default a temporary folder, which goes when all is well */
  readonly keep?: string;
  /** How long an episode's faults last. */
  readonly episodeMs?: number;
  readonly signal?: AbortSignal;
  /** Told of the course, a line at a time. */
  readonly tell?: (line: string) => void;
}

export interface ChaosReport {
  readonly minutes: number;
  readonly faultsInjected: number;
  readonly faultsHit: number;
  readonly operations: number;
  readonly verdict: Verdict["verdict"];
  /** Hits by what was done. */
  readonly byKind: Readonly<Record<string, number>>;
  /** Hits by broker and lock. */
  readonly byBackend: Readonly<Record<string, number>>;
  /** Different faults that hit at failpoints, each at its own, of a broker and a lock. */
  readonly cellsHit: number;
  /** How many of those there are. */
  readonly cellsPlayable: number;
  /** Pods that closed in order while they worked, disturbed by nothing, and were looked at for what they left. */
  readonly closesJudged: number;
  /** Deaths of pods after which it was looked whether their claims were served again in time. */
  readonly deathsJudged: number;
  readonly episodes: number;
  /** Why it is unknown, each reason once. */
  readonly reasons: readonly string[];
  /** Invariants that some episodes had nothing to judge for, with the back-ends that show nothing: `I10 (etcd)`. */
  readonly notJudged: readonly string[];
  readonly violations: readonly Violation[];
  /** Where the logs of what is not valid are. */
  readonly folder?: string;
}

const EPISODE_MS = 40_000;
const SPARE_PODS = 4;

/** Plays episodes for so long, at least one. The whole is as good as its worst episode. */
export async function runChaos(options: ChaosOptions): Promise<ChaosReport> {
  const { keep } = options;
  const beganAt = monotonicMs();
  const folder = keep ?? mkdtempSync(join(tmpdir(), "exclaim-chaos-"));
  mkdirSync(folder, { recursive: true });
  const tally = new FaultTally();
  const ends = await playEpisodes(options, folder, tally).catch((error: unknown) => {
    if (keep === undefined) rmSync(folder, { recursive: true, force: true });
    throw error;
  });
  const verdict = worstOf(ends);
  const isKept = keep !== undefined || verdict !== "valid";
  if (!isKept) rmSync(folder, { recursive: true });
  return {
    minutes: Math.round((monotonicMs() - beganAt) / 600) / 100,
    ...tally.counts(),
    cellsPlayable: countPlayable(options),
    closesJudged: ends.reduce((sum, { closesJudged = 0 }) => sum + closesJudged, 0),
    deathsJudged: ends.reduce((sum, end) => sum + (end.verdict.figures?.deathsJudged ?? 0), 0),
    operations: ends.reduce((sum, end) => sum + end.verdict.operations, 0),
    verdict,
    episodes: ends.length,
    reasons: [...new Set(ends.flatMap((end) => end.verdict.reason ?? []))],
    notJudged: notJudged(ends),
    violations: ends.flatMap((end) => end.verdict.violations),
    ...(isKept ? { folder } : {}),
  };
}

async function playEpisodes(options: ChaosOptions, folder: string, tally: FaultTally): Promise<readonly EpisodeEnd[]> {
  const { seed, brokers, keep, episodeMs = EPISODE_MS, signal = new AbortController().signal, tell = () => {} } = options;
  const compiled = compilePod();
  process.on("exit", compiled.remove);
  const pods = new PodPool(compiled.file, SPARE_PODS);
  const ends: EpisodeEnd[] = [];
  try {
    const locks = options.locks.filter((lock) => lock !== "none");
    const forMs = options.minutes * 60_000;
    const movesLedgerClock = forMs > (CLOCK_JUMP_EVERY - 1) * episodeMs;
    await using servers = await openServers({ locks, brokers, seed, movesLedgerClock });
    const untilMs = monotonicMs() + forMs;
    do {
      const plan = planEpisode(options, ends.length, episodeMs);
      const episodeFolder = join(folder, `episode-${plan.index}`);
      const end = await played(new Episode(plan, { servers, pods, folder: episodeFolder, signal }));
      // One that was broken off says nothing of the others.
      if (signal.aborted) break;
      ends.push(end);
      tally.add(plan, episodeFolder);
      tell(lineOf(end, tally));
      if (end.verdict.verdict === "valid" && keep === undefined) rmSync(episodeFolder, { recursive: true });
    } while (monotonicMs() < untilMs);
  } finally {
    await pods.close();
    compiled.remove();
    process.removeListener("exit", compiled.remove);
  }
  return ends;
}

/** An episode that broke for a reason of its own, such as a server that did not come back, shows nothing. */
async function played(episode: Episode): Promise<EpisodeEnd> {
  try {
    return await episode.play();
  } catch (error) {
    const reason = error instanceof Error ? (error.stack ?? error.message) : String(error);
    const verdict: Verdict = { verdict: "unknown", reason, violations: [], operations: 0, faultsHit: 0 };
    return { verdict, plan: episode.plan };
  }
}

/** Nothing played is nothing known. */
function worstOf(ends: readonly EpisodeEnd[]): Verdict["verdict"] {
  if (ends.length === 0) return "unknown";
  const verdicts = ends.map((end) => end.verdict.verdict);
  return verdicts.includes("invalid") ? "invalid" : verdicts.includes("unknown") ? "unknown" : "valid";
}

const INVARIANTS = Array.from({ length: 13 }, (_, index) => `I${index + 1}` as InvariantName);

/** Shape: `I10 (etcd, none)`. */
function notJudged(ends: readonly EpisodeEnd[]): readonly string[] {
  return INVARIANTS.flatMap((name) => {
    const blind = ends.filter(({ verdict }) => verdict.judged !== undefined && !verdict.judged.includes(name));
    const locks = [...new Set(blind.map(({ plan }) => plan.lock))].sort();
    return locks.length === 0 ? [] : [`${name} (${locks.join(", ")})`];
  });
}

function lineOf({ verdict, plan, tailMs = 0 }: EpisodeEnd, tally: FaultTally): string {
  const { faultsHit } = tally.counts();
  const facts = `${plan.broker} and ${plan.lock}, ${verdict.faultsHit} faults hit, ${verdict.operations} operations`;
  const why = verdict.reason === undefined ? "" : ` (${verdict.reason})`;
  const tail = `ended ${Math.round(tailMs / 1_000)} s after the last fault`;
  return `episode ${plan.index + 1}: ${facts}, ${tail}: ${verdict.verdict}${why}; ${faultsHit} faults so far`;
}
