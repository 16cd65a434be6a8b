import { MAX_RETRY_MS, MIN_RETRY_MS } from "../../src/settle/decide.ts";
import type { Plan } from "./plan.ts";

/** A way may take five times as long as most do: a call that has less time for both of its ways may be given up though nothing is wrong. */
const CERTAIN_LATENCIES = 11;

/** Pauses that follow on each other: the one under way, the next, and what lost races and locked rows add. */
const PAUSES = 6;
/** So often more is a message put off where calls are given up though nothing is wrong. */
const OUTAGES_AFTER_CALM = 5;
/** Leases that one message may wait for: a dead holder's, a dead waiter's place in the line of the lock, a dead transaction's. */
const LEASES = 5;
/** Calls of one message that may each take all their time. */
const CALLS = 10;

/** What the time of faults leaves to the broker. */
export interface LeftOver {
  /** How often the message that was put off most often had been. */
  readonly deferrals: number;
  /** The longest time for which a message stays with a process that may be gone. */
  readonly brokerMs: number;
}

/** Whether each call that nothing befalls is answered before it is given up. */
export function isPatient({ timeoutMs, latencyMs }: Plan): boolean {
  return timeoutMs >= latencyMs * CERTAIN_LATENCIES;
}

/**
 * Within what time all messages have ended once the last fault is over: the longest waits are what the faults left behind, which are the
 * broker's time for a message and the pause that doubles with each deferral; all that follows is one message after another.
 */
export function restWithinMs(plan: Plan, { deferrals, brokerMs }: LeftOver): number {
  const { ttlMs, timeoutMs, resource, messages } = plan;
  const outages = isPatient(plan) ? 0 : OUTAGES_AFTER_CALM;
  const pauseMs = Math.min(MAX_RETRY_MS, MIN_RETRY_MS * 2 ** (deferrals + outages));
  const works = messages.map(({ work }) => work.slowRuns * (work.workMs + work.stallMs));
  const turnMs = LEASES * ttlMs + resource.minIntervalMs + Math.max(0, ...works) + CALLS * Math.min(timeoutMs, ttlMs);
  // Who finds no row may ask again as often as a message may be put off, while another that has one comes back but once.
  const emptyMs = plan.onEmpty === "retry" ? PAUSES * (ttlMs + brokerMs) : 0;
  // Whose transaction is not answered holds on to its claim until it gives up, and the others' pauses grow as long meanwhile.
  const unansweredMs = 2 * timeoutMs;
  return brokerMs + PAUSES * pauseMs + messages.length * turnMs + emptyMs + unansweredMs;
}
