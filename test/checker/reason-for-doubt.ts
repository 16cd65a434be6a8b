import type { HistoryEvent } from "./history.ts";
import type { HistoryIndex } from "./history-index.ts";
import {
  DEFAULT_MIN_COMPLETIONS,
  DEFAULT_MIN_FAULTS_HIT,
  DEFAULT_MIN_OPERATIONS,
  DEFAULT_MIN_UNKNOWN_ANSWERS,
  type JudgeOptions,
} from "./judge-options.ts";

/** How much a run was. */
export interface Tried {
  readonly operations: number;
  readonly faultsHit: number;
  readonly unknownAnswers: number;
}

export function countTried(index: HistoryIndex): Tried {
  let operations = index.writes.size;
  let unknownAnswers = 0;
  let unknownSettles = 0;
  let answersSettles = false;
  for (const { answer } of index.writes.values()) if (isUnknown(answer?.phase)) unknownAnswers += 1;
  for (const { delivered, settles } of index.deliveries.values()) {
    operations += delivered.length + settles.length;
    for (const { answer } of settles) {
      if (isUnknown(answer?.phase)) unknownSettles += 1;
      else answersSettles = true;
    }
  }
  // A broker that never answers an acknowledgement, as AMQP has it, leaves no answer out.
  if (answersSettles) unknownAnswers += unknownSettles;
  const hit = new Set<string>();
  for (const { phase, id } of index.faults) if (phase === "hit") hit.add(id);
  return { operations, faultsHit: hit.size, unknownAnswers };
}

/** A call that was never answered, for its process died, is as unknown as one that was told so. */
function isUnknown(phase: string | undefined): boolean {
  return phase === undefined || phase === "info";
}

/** Why a history that shows nothing bad says little; undefined when it says enough. */
export function reasonForDoubt(
  history: readonly HistoryEvent[],
  index: HistoryIndex,
  tried: Tried,
  options: JudgeOptions,
): string | undefined {
  const { minOperations = DEFAULT_MIN_OPERATIONS, minFaultsHit = DEFAULT_MIN_FAULTS_HIT } = options;
  const { minUnknownAnswers = minFaultsHit === 0 ? 0 : DEFAULT_MIN_UNKNOWN_ANSWERS } = options;
  const { minCompletions = DEFAULT_MIN_COMPLETIONS, mayRestAtAnyTime = false } = options;
  if (!index.frames.some(({ mark }) => mark === "ended")) return "the run was not seen to its end";
  if (!index.hasDump) return "nothing shows what was left at the end";
  const blind = blindWitness(history, index);
  if (blind !== undefined) return blind;
  if (!mayRestAtAnyTime && !index.frames.some(({ mark, withinMs }) => mark === "calm" && Number.isFinite(withinMs))) {
    return "nothing shows when the faults were over, and how soon all had to be done";
  }
  if (minCompletions > 0 && countCompletions(index) < minCompletions) return "nothing was completed";
  if (tried.operations < minOperations) return `${tried.operations} operations are too few: ${minOperations} are asked for`;
  if (tried.faultsHit < minFaultsHit) return `${tried.faultsHit} faults hit: ${minFaultsHit} are asked for`;
  if (tried.unknownAnswers < minUnknownAnswers) return "no call was left without an answer";
  return undefined;
}

/** A kind of event, or a process, that the run says it shows, and of which there is nothing. */
function blindWitness(history: readonly HistoryEvent[], { frames }: HistoryIndex): string | undefined {
  const kinds = frames.flatMap(({ witnesses }) => witnesses ?? []);
  const processes = frames.flatMap((frame) => frame.processes ?? []);
  if (kinds.length + processes.length === 0) return undefined;
  const seen = new Set<string>();
  const loggedBy = new Set<string>();
  for (const { what, by } of history) {
    seen.add(what);
    loggedBy.add(by);
  }
  const unseen = kinds.find((kind) => !seen.has(kind));
  if (unseen !== undefined) return `no ${unseen} was seen, and this run shows them`;
  const silent = processes.find((process) => !loggedBy.has(process));
  return silent === undefined ? undefined : `nothing was logged by ${silent}, which served`;
}

function countCompletions(index: HistoryIndex): number {
  let count = 0;
  for (const { completions } of index.claimants.values()) count += completions.length;
  for (const { first, answer } of index.writes.values()) if (first.completes && answer?.phase === "ok") count += 1;
  return count;
}
