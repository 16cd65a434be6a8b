import { deathsOf, type FaultSpan, faultSpans, touches } from "./fault-spans.ts";
import type { Fault, Frame, Started, Violation } from "./history.ts";
import type { ClaimantLog, DeliveryLog, HistoryIndex } from "./history-index.ts";
import { violation } from "./violation.ts";

/** What a queue may add to a redelivery, where others are served first. */
const SERVED_WITHIN_MS = 10_000;

/** What is wrong, and after how many deaths of processes it was looked for. */
export interface DeathFindings {
  readonly violations: Violation[];
  readonly deathsJudged: number;
}

interface Times {
  /** The lease and the broker's time: as long as what was before a death may be felt after it. */
  readonly leadMs: number;
  readonly endedAt: number;
}

/** A death, and until when those that it left must be served again. */
interface Death {
  readonly fault: Fault;
  readonly fromAt: number;
  readonly toAt: number;
  /** The other faults of that time, and of so long before that they may still be felt. */
  readonly spans: readonly FaultSpan[];
}

/**
 * I13, of single claims (L2), where the broker's time is known: who had a claim when its process died is served again within the lease,
 * the broker's time for a redelivery and that of its queue. Who was struck by another fault that can matter is not judged: one of a
 * server, of a process that was handed one of the claimant's messages, or of so many processes that nobody is seen who was left to serve.
 */
export function servedAfterDeath(index: HistoryIndex): DeathFindings {
  const violations: Violation[] = [];
  const judged = new Set<string>();
  const times = timesOf(index.frames);
  const deaths = times === undefined ? [] : judgedDeaths(index.faults, times);
  if (deaths.length === 0) return { violations, deathsJudged: 0 };
  const byProcess = new Map(deaths.map((death) => [death.fault.target, death]));
  const lives = livesOf(index);
  for (const log of index.claimants.values()) {
    for (const event of log.started) {
      const death = byProcess.get(event.by);
      if (death === undefined || !isLeft(index, event, death)) continue;
      const others = otherDeliveries(index, log, event);
      if (isDisturbed(death, others, lives)) continue;
      judged.add(death.fault.id);
      if (isServed(log, event, others, death)) continue;
      const withinMs = death.toAt - death.fromAt;
      const sentence = `${log.claimant} was not served again within ${withinMs} ms of the death of its process`;
      violations.push(violation("I13", sentence, event, death.fault));
    }
  }
  return { violations, deathsJudged: judged.size };
}

function timesOf(frames: readonly Frame[]): Times | undefined {
  const began = frames.find(({ ttlMs, redeliveryMs }) => ttlMs !== undefined && redeliveryMs !== undefined);
  const ended = frames.findLast(({ mark }) => mark === "ended");
  if (began?.ttlMs === undefined || began.redeliveryMs === undefined || ended === undefined) return undefined;
  return { leadMs: began.ttlMs + began.redeliveryMs, endedAt: ended.at };
}

/** Those after which the run was seen long enough. */
function judgedDeaths(faults: readonly Fault[], { leadMs, endedAt }: Times): Death[] {
  const spans = faultSpans(faults);
  const deaths: Death[] = [];
  for (const fault of deathsOf(faults).values()) {
    const toAt = fault.at + leadMs + SERVED_WITHIN_MS;
    if (!(toAt < endedAt)) continue;
    const felt = { fromAt: fault.at - leadMs, toAt };
    deaths.push({
      fault,
      fromAt: fault.at,
      toAt,
      spans: spans.filter((span) => span.id !== fault.id && touches(span, felt)),
    });
  }
  return deaths;
}

/** When each process was seen to serve, first and last: whose name is not among these is a server. */
function livesOf(index: HistoryIndex): Map<string, { fromAt: number; toAt: number }> {
  const lives = new Map<string, { fromAt: number; toAt: number }>();
  for (const name of index.frames.flatMap(({ processes }) => processes ?? [])) {
    lives.set(name, { fromAt: Number.POSITIVE_INFINITY, toAt: Number.NEGATIVE_INFINITY });
  }
  for (const { delivered, outcome } of index.deliveries.values()) {
    for (const event of outcome === undefined ? delivered : [...delivered, outcome]) {
      const life = lives.get(event.by);
      if (life === undefined) lives.set(event.by, { fromAt: event.at, toAt: event.at });
      else {
        life.fromAt = Math.min(life.fromAt, event.at);
        life.toAt = Math.max(life.toAt, event.at);
      }
    }
  }
  return lives;
}

/** It had the claim until it died, was not done with it, and its message cannot be given up for that. */
function isLeft(index: HistoryIndex, { claimant, delivery, resource, token }: Started, { fromAt }: Death): boolean {
  const log = index.deliveries.get(delivery);
  if (log?.outcome !== undefined || (log?.settles.length ?? 0) > 0) return false;
  const sent = log?.message?.sent[0];
  if (sent === undefined || (sent.mayDie ?? sent.isPoison)) return false;
  const last = index.resources.get(resource)?.changes.findLast(({ at }) => at <= fromAt);
  return last?.status === "held" && last.claimant === claimant && last.token === token;
}

function otherDeliveries(index: HistoryIndex, { sent }: ClaimantLog, { delivery }: Started): DeliveryLog[] {
  const messages = new Set(sent.map(({ message }) => message));
  const deliveries = [...messages].flatMap((message) => index.messages.get(message)?.deliveries ?? []);
  return deliveries.filter((log) => log.delivery !== delivery);
}

function isDisturbed(
  death: Death,
  others: readonly DeliveryLog[],
  lives: ReadonlyMap<string, { readonly fromAt: number; readonly toAt: number }>,
): boolean {
  const path = new Set<string>();
  for (const { delivered, outcome } of others) {
    const [first] = delivered;
    if (first === undefined) continue;
    if (touches({ fromAt: first.at, toAt: outcome?.at ?? Number.POSITIVE_INFINITY }, death)) path.add(first.by);
  }
  const struck = new Set<string>();
  for (const span of death.spans) {
    const { target } = span;
    // What a process was struck by is over with it, unless it is undone by somebody else, and later.
    const isOver = target === death.fault.target && (!span.isHealed || span.toAt < death.fromAt);
    if (isOver) continue;
    if (!lives.has(target) || path.has(target) || target === death.fault.target) return true;
    if (touches(span, death)) struck.add(target);
  }
  return struck.size > 0 && !isAnybodyLeft(death, struck, lives);
}

/** A process that is struck may have taken the message and not told of it; one that is not, and is seen before and after, can serve. */
function isAnybodyLeft(
  death: Death,
  struck: ReadonlySet<string>,
  lives: ReadonlyMap<string, { readonly fromAt: number; readonly toAt: number }>,
): boolean {
  for (const [name, { fromAt, toAt }] of lives) {
    if (name !== death.fault.target && !struck.has(name) && fromAt <= death.fromAt && toAt >= death.toAt) return true;
  }
  return false;
}

/** To be told to wait is not to be served. */
function isServed(log: ClaimantLog, { delivery }: Started, others: readonly DeliveryLog[], { fromAt, toAt }: Death): boolean {
  const isIts = (at: number) => at > fromAt && at <= toAt;
  if (log.completions.some(({ at }) => !(at > toAt))) return true;
  if (log.started.some((event) => event.delivery !== delivery && isIts(event.at))) return true;
  return others.some(({ outcome }) => outcome !== undefined && outcome.status !== "contended" && isIts(outcome.at));
}
