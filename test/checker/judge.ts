import type { HistoryEvent, Verdict, Violation } from "./history.ts";
import { type HistoryIndex, indexHistory } from "./history-index.ts";
import { oneOwner } from "./i1-one-owner.ts";
import { countedAttempts } from "./i2-counted-attempts.ts";
import { doneIsDone } from "./i2-done-is-done.ts";
import { oneRowPerClaimant } from "./i2-one-row-per-claimant.ts";
import { orderedTokens } from "./i3-ordered-tokens.ts";
import { fencedWrites } from "./i4-fenced-writes.ts";
import { noClaimLost } from "./i5-no-claim-lost.ts";
import { everyMessageEnds } from "./i6-every-message-ends.ts";
import { settledLast } from "./i6-settled-last.ts";
import { resolvedWrites } from "./i7-resolved-writes.ts";
import { countDuplicateEffects, effectsOnce } from "./i8-effects-once.ts";
import { heldInTime } from "./i9-held-in-time.ts";
import { oneMajority } from "./i10-one-majority.ts";
import { type LockFindings, ownLock } from "./i10-own-lock.ts";
import { honestEmpty } from "./i11-honest-empty.ts";
import { nothingEscapes } from "./i12-nothing-escapes.ts";
import { doneInTime } from "./i13-done-in-time.ts";
import { freedInTime } from "./i13-freed-in-time.ts";
import { type DeathFindings, servedAfterDeath } from "./i13-served-after-death.ts";
import { DEFAULT_CLOCK_ERROR_MS, DEFAULT_COMMIT_LAG_MS, type JudgeOptions } from "./judge-options.ts";
import { judgedInvariants } from "./judged-invariants.ts";
import { countTried, reasonForDoubt } from "./reason-for-doubt.ts";

/**
 * Judges a history: each invariant is a scan of its index. Broken ones make it invalid, however little was tried; a history that
 * shows nothing bad is valid only if enough was tried, and if it was seen to its end by all its witnesses.
 * Shape: events in any order, those of one process in the order of its log.
 */
export function judge(history: readonly HistoryEvent[], options: JudgeOptions = {}): Verdict {
  const index = indexHistory(history);
  const counting = { locks: ownLock(index), deaths: servedAfterDeath(index) };
  const violations = scan(index, counting, options);
  const tried = countTried(index);
  const reason = violations.length > 0 ? undefined : reasonForDoubt(history, index, tried, options);
  return {
    verdict: violations.length > 0 ? "invalid" : reason === undefined ? "valid" : "unknown",
    ...(reason === undefined ? {} : { reason }),
    violations,
    operations: tried.operations,
    faultsHit: tried.faultsHit,
    figures: {
      unknownAnswers: tried.unknownAnswers,
      duplicateEffects: countDuplicateEffects(index),
      lockOverlapMs: counting.locks.overlapMs,
      deathsJudged: counting.deaths.deathsJudged,
    },
    judged: judgedInvariants(index),
  };
}

/** Of the scans that count as well. */
interface CountingScans {
  readonly locks: LockFindings;
  readonly deaths: DeathFindings;
}

/** Witnesses tell what they saw when all has stopped: of a run that was not seen to its end nobody knows what is missing in it. */
function scan(index: HistoryIndex, { locks, deaths }: CountingScans, options: JudgeOptions): Violation[] {
  if (!index.frames.some(({ mark }) => mark === "ended")) return [];
  const { clockErrorMs = DEFAULT_CLOCK_ERROR_MS, commitLagMs = DEFAULT_COMMIT_LAG_MS } = options;
  return [
    ...oneOwner(index),
    ...oneRowPerClaimant(index),
    ...doneIsDone(index),
    ...countedAttempts(index),
    ...orderedTokens(index),
    ...fencedWrites(index),
    ...noClaimLost(index),
    ...everyMessageEnds(index),
    ...settledLast(index, clockErrorMs),
    ...resolvedWrites(index),
    ...effectsOnce(index),
    ...heldInTime(index),
    ...locks.violations,
    ...oneMajority(index),
    ...honestEmpty(index, commitLagMs),
    ...nothingEscapes(index),
    ...doneInTime(index),
    ...(options.seesRenewals === true ? freedInTime(index) : []),
    ...deaths.violations,
  ];
}
