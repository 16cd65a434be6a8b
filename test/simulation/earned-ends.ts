import type { HistoryEvent, Outcome, Started, Violation } from "../checker/history.ts";
import type { Plan } from "./plan.ts";
import { isQuiet } from "./quiet.ts";

/**
 * What can be judged only where it is known how often a message may be put off: no attempt is burned, and no message given up, without a
 * reason of its own. These are a handler that was run, a refusal, and having been put off too often; an outage is none.
 */
export function earnedEnds(history: readonly HistoryEvent[], plan: Plan, maxDeferrals: number): Violation[] {
  const found = [...unnotedEnds(history), ...(isQuiet(plan) ? needlessLosses(history) : [])];
  const started = new Map<string, Started>();
  const outcomes = new Map<string, Outcome>();
  for (const event of history) {
    if (event.what === "started") started.set(event.delivery, event);
    else if (event.what === "outcome") outcomes.set(event.delivery, event);
    if (event.what !== "settle" || event.phase !== "invoke") continue;
    const { delivery, disposition } = event;
    const outcome = outcomes.get(delivery);
    const isRefused = outcome?.status === "empty" || outcome?.status === "taken";
    // Handings-over that never arrived count too: the name says how many came before.
    const isWornOut = Number(delivery.split(".")[1]) > maxDeferrals;
    const hasRun = started.has(delivery) && outcome?.status === "failed";
    if (disposition === "complete" || disposition === "retry" || isRefused) continue;
    if (disposition === "fail" && (hasRun || isWornOut)) continue;
    const sentence = `${delivery} told the broker "${disposition}", and neither its handler had failed nor was it refused`;
    found.push({ invariant: "I6", sentence, events: outcome === undefined ? [event] : [outcome, event] });
  }
  return found;
}

/** The reason of a message that is given up is kept before its broker hears of that. */
function unnotedEnds(history: readonly HistoryEvent[]): Violation[] {
  const noted = new Set<string | null>();
  for (const event of history) if (event.what === "final-letter") noted.add(event.message);
  return history.flatMap((event): Violation[] => {
    if (event.what !== "final-message" || noted.has(event.message)) return [];
    if (event.state !== "failed" && event.state !== "dead-letter") return [];
    return [{ invariant: "I6", sentence: `${event.message} is ${event.state}, and its reason was not kept`, events: [event] }];
  });
}

/** Where nothing befalls anybody, nobody loses what it has. */
function needlessLosses(history: readonly HistoryEvent[]): Violation[] {
  return history.flatMap((event): Violation[] => {
    if (event.what !== "outcome" || event.status !== "lost") return [];
    return [{ invariant: "I9", sentence: `${event.claimant} lost its claim, and nothing had befallen it`, events: [event] }];
  });
}
