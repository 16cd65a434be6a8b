import type { FinalMessage, HistoryEvent, Outcome, OwnerChanged, Settle, Started, Violation } from "../checker/history.ts";
import type { MessagePlan, Plan } from "./plan.ts";
import { isQuiet } from "./quiet.ts";
import { claimantOf } from "./sim-broker.ts";

/** Errors that say nothing against the claimant: its message comes back, and finds its row. */
const COMES_BACK: readonly (string | undefined)[] = ["CLOSED", "DATABASE_UNREACHABLE", "COMMIT_UNKNOWN"];

/** What is known of one claimant of rows. */
interface ClaimantLog {
  readonly messages: readonly MessagePlan[];
  readonly started: Started[];
  readonly outcomes: Map<string, Outcome>;
  /** Settlements that give a message up, or count an attempt of it. */
  readonly ended: Settle[];
  readonly freed: OwnerChanged[];
}

/**
 * I2, of rows that change hands: a row goes back to its pool only if its handler gave it back, or its claimant failed or was given up and
 * the plan says that its row is not kept for it. And where nothing went wrong but the handler, what is to go back does.
 */
export function keptRows(history: readonly HistoryEvent[], plan: Plan): Violation[] {
  const found: Violation[] = [];
  for (const [claimant, log] of logsOf(history, plan)) {
    for (const event of log.freed) {
      if (mayBeFreed(log, plan)) continue;
      const sentence = `${event.resource} of ${claimant} went back to its pool, and nothing says that it should`;
      found.push({ invariant: "I2", sentence, events: [event] });
    }
  }
  if (plan.onGiveUp === "release" && isQuiet(plan)) scanLeaks(history, plan, found);
  return found;
}

function logsOf(history: readonly HistoryEvent[], plan: Plan): Map<string, ClaimantLog> {
  const logs = new Map<string, ClaimantLog>();
  for (const message of plan.messages) {
    if (message.mode !== "pool") continue;
    const claimant = claimantOf(message);
    const known = logs.get(claimant);
    const messages = [...(known?.messages ?? []), message];
    logs.set(claimant, { messages, started: [], outcomes: new Map(), ended: [], freed: [] });
  }
  for (const event of history) {
    if (event.what === "started") logs.get(event.claimant)?.started.push(event);
    else if (event.what === "outcome") logs.get(event.claimant)?.outcomes.set(event.delivery, event);
    else if (event.what === "owner" && event.was !== null && event.became === null) logs.get(event.was)?.freed.push(event);
    else if (event.what === "settle" && (event.disposition === "fail" || event.disposition === "dead-letter")) {
      const message = plan.messages.find(({ id }) => id === event.message);
      if (message?.mode === "pool") logs.get(claimantOf(message))?.ended.push(event);
    }
  }
  return logs;
}

function mayBeFreed({ messages, started, outcomes, ended }: ClaimantLog, { onFailure, onGiveUp, maxHoldMs }: Plan): boolean {
  if (messages.some(({ work }) => work.ending === "release")) return true;
  if (onGiveUp === "release" && ended.length > 0) return true;
  if (onFailure === "keep" && onGiveUp === "keep") return false;
  // Who holds for too long fails, also where its delivery then ends for another reason.
  if (maxHoldMs !== null) return true;
  const mayThrow = messages.some(({ isPoison, work: { throws, ending, hasEffect } }) => {
    return isPoison || throws > 0 || ending === "complete-caught" || hasEffect;
  });
  return started.some(({ delivery }) => {
    const outcome = outcomes.get(delivery);
    // A delivery that told nothing died, and one that was lost was so, perhaps after its handler had failed.
    if (outcome === undefined || (outcome.status === "lost" && mayThrow)) return true;
    return outcome.status === "failed" && !COMES_BACK.includes(outcome.code);
  });
}

/** The row of whoever was alone with a message that was given up is free in the end. */
function scanLeaks(history: readonly HistoryEvent[], plan: Plan, found: Violation[]): void {
  const ends = new Map<string, FinalMessage>();
  for (const event of history) if (event.what === "final-message") ends.set(event.message, event);
  for (const event of history) {
    if (event.what !== "final-row" || event.owner === null) continue;
    const messages = plan.messages.filter((message) => message.mode === "pool" && claimantOf(message) === event.owner);
    const [message] = messages;
    const end = message === undefined ? undefined : ends.get(message.id);
    if (messages.length !== 1 || end === undefined || (end.state !== "failed" && end.state !== "dead-letter")) continue;
    const sentence = `${event.resource} is still ${event.owner}'s, whose message was given up`;
    found.push({ invariant: "I2", sentence, events: [end, event] });
  }
}
