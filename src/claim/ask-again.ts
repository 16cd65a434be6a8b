import { type Clock, pause } from "../clock.ts";
import { isExclaimError } from "../errors.ts";

/** Pauses between tries of a ledger call whose answer was lost: about a second in all, enough for a connection to be made anew. */
export const ASK_AGAIN_PAUSES_MS = [25, 100, 250, 600] as const;

/**
 * Asks the ledger again when the database did not answer. What happened to the lost call is unknown; each ledger call recognises
 * what it did before, so the same call again is safe and tells.
 * `unsettled`: after a lost answer, whether this answer may still change (our own earlier call is in flight).
 * `wasLost`: the answer to an earlier call was.
 * Throws the last DATABASE_UNREACHABLE, or any other error at once.
 */
export async function askAgain<Answer>(
  clock: Clock,
  ask: () => Promise<Answer>,
  unsettled: (answer: Answer) => boolean = () => false,
  wasLost = false,
): Promise<Answer> {
  let lostAnswer = wasLost;
  for (const pauseMs of ASK_AGAIN_PAUSES_MS) {
    try {
      const answer = await ask();
      if (!lostAnswer || !unsettled(answer)) return answer;
    } catch (error) {
      if (!isExclaimError(error, "DATABASE_UNREACHABLE")) throw error;
      lostAnswer = true;
    }
    await pause(clock, pauseMs);
  }
  return ask();
}
