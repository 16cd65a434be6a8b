import { counted } from "../checker/counted.ts";
import type { HistoryEvent, Violation } from "../checker/history.ts";
import { roundNumbers } from "../checker/round-numbers.ts";
import type { Note } from "./chronicle.ts";
import { inOrder } from "./in-order.ts";
import type { FaultPlan, MessagePlan, Plan } from "./plan.ts";
import { type Planted, runPlan } from "./world.ts";

const TIME_WIDTH = 9;

/**
 * Runs a plan once more and tells what happens in it: what it is made of, line by line what happens, and what is broken at the end.
 * The lines that a broken promise is made of have a `>` before them.
 */
export async function storyOf(plan: Plan, violations: readonly Violation[], planted: Planted = {}): Promise<string> {
  const { chronicle } = await runPlan(plan, { isTold: true, planted });
  const guilty = new Set(violations.flatMap(({ events }) => events.map((event) => JSON.stringify(event))));
  const told = chronicle.story ?? [];
  const lines = inOrder([...told, ...unseenBy(told, violations)]).map(({ atMs, event }, index) => {
    const mark = guilty.has(JSON.stringify(event)) ? ">" : " ";
    return `${mark}${String(index + 1).padStart(4)}  ${timeOf(atMs)}  ${event.by.padEnd(8)} ${phraseOf(event)}`;
  });
  const broken = violations.map(({ invariant, sentence }) => `${invariant} is broken: ${roundNumbers(sentence)}.`);
  const end = broken.length === 0 ? ["Every promise was kept."] : broken;
  return [settingOf(plan, faultsHit(told)), "", ...lines.map(roundNumbers), "", ...end, ""].join("\n");
}

/** What a promise was broken by and only the judge of the run saw: a rejection that nobody took care of. */
function unseenBy(told: readonly (HistoryEvent | Note)[], violations: readonly Violation[]): HistoryEvent[] {
  const seen = new Set(told.map((event) => JSON.stringify(event)));
  return violations.flatMap(({ events }) => events.filter((event) => !seen.has(JSON.stringify(event))));
}

function faultsHit(told: readonly (HistoryEvent | Note)[]): ReadonlySet<string> {
  return new Set(
    told.flatMap((event) => ("what" in event && event.what === "fault" && event.phase === "hit" ? [event.id] : [])),
  );
}

function settingOf(plan: Plan, hit: ReadonlySet<string>): string {
  const { seed, processes, slots, rows, ttlMs, broker, resource } = plan;
  const counts = Object.entries(rows).map(([scope, count]) => (scope === "" ? `${count}` : `${count} in scope ${scope}`));
  const lines = [
    `Seed ${seed}: ${counted(processes, "process", "processes")} with ${counted(slots, "message")} each at a time, rows: ${counts.join(", ")}; ttl ${ttlMs} ms.`,
    `Locks: ${plan.lockBy}. onFailure ${plan.onFailure}, onGiveUp ${plan.onGiveUp}, onReplay ${plan.onReplay}, ` +
      `onContended ${plan.onContended}, onEmpty ${plan.onEmpty}, maxHoldMs ${plan.maxHoldMs ?? "none"}.`,
    `Broker: again after ${broker.timeoutMs} ms${broker.renews ? " unless renewed" : ""}, ${counted(broker.attempts, "attempt")}` +
      `${broker.noticesCrash ? ", notices a crash" : ""}. Keys: ${resource.mode}, ${resource.minIntervalMs} ms from ${resource.from}.`,
    ...plan.messages.map(messageLine),
    ...plan.faults.map((fault, index) => {
      const id = `f${index + 1}`;
      return `Fault ${id}: ${faultLine(fault)}${hit.has(id) ? "" : ": not reached"}.`;
    }),
    `No fault after ${plan.calmAtMs} ms.`,
  ];
  return lines.map(roundNumbers).join("\n");
}

function messageLine({ id, mode, claimant, scope, pick, sentAtMs, isPoison, work }: MessagePlan): string {
  const wanted = mode === "resource" ? "the key" : pick === null ? "a row" : `row ${pick}`;
  const where = scope === null ? "" : ` of scope ${scope}`;
  const does = [
    `works ${work.workMs} ms${work.ignoresSignal ? ", deaf to its signal" : ""}`,
    ...(work.stallMs > 0 ? [`stalls ${work.stallMs} ms`] : []),
    ...(work.writes > 0 ? [counted(work.writes, "fenced write")] : []),
    ...(work.hasEffect ? ["an effect outside"] : []),
    ...(work.throws > 0 ? [`throws ${counted(work.throws, "time")}${work.throwsInside ? " in its transaction" : ""}`] : []),
    isPoison ? "never succeeds" : `ends by ${work.ending}`,
  ];
  return `Message ${id} at ${sentAtMs} ms: ${claimant} wants ${wanted}${where}; the handler ${does.join(", ")}.`;
}

function faultLine(fault: FaultPlan): string {
  if ("call" in fault) return `${fault.kind} at call ${fault.call} of process ${fault.process + 1} (${fault.forMs} ms)`;
  if ("commit" in fault) return `${fault.kind} at COMMIT ${fault.commit} of process ${fault.process + 1} (${fault.forMs} ms)`;
  if ("process" in fault)
    return `${fault.kind} of process ${fault.process + 1} at its event ${fault.event} (${fault.forMs} ms)`;
  if ("event" in fault) return `${fault.kind} at event ${fault.event} (${fault.forMs} ms)`;
  return `${fault.kind} at delivery ${fault.delivery}`;
}

function timeOf(atMs: number | undefined): string {
  return atMs === undefined ? " ".repeat(TIME_WIDTH + 3) : `${atMs.toFixed(1).padStart(TIME_WIDTH)} ms`;
}

/** What an event says in plain words. */
function phraseOf(event: HistoryEvent | Note): string {
  if (!("what" in event)) return event.text;
  switch (event.what) {
    case "sent":
      return `sends ${event.message} for ${event.claimant}`;
    case "delivered":
      return `is handed ${event.message} (delivery ${event.delivery})`;
    case "started":
      return `runs the handler: ${event.resource} is ${event.claimant}'s, token ${event.token}, attempt ${event.attempt}`;
    case "leased":
      if (event.ttlMs === 0) return `is told that ${event.resource ?? "nothing"} is no longer its own, token ${event.token}`;
      return `is told that ${event.resource ?? "all it holds"} is its own${underToken(event.token)}, for ${event.ttlMs} ms`;
    case "held":
      return `is told that it still holds ${event.resource}, token ${event.token}`;
    case "write":
      return `${writePhrase(event.phase)} ${event.completes ? "the completion" : "a write"} of ${event.resource}, token ${event.token}`;
    case "outcome":
      return `has an outcome for ${event.claimant}: ${event.status}`;
    case "settle":
      return settlePhrase(event.phase, event.message, event.disposition);
    default:
      return witnessPhrase(event);
  }
}

function underToken(token: number | undefined): string {
  return token === undefined ? "" : `, token ${token}`;
}

function writePhrase(phase: "invoke" | "ok" | "fail" | "info"): string {
  return { invoke: "begins", ok: "has done", fail: "is refused", info: "does not know what became of" }[phase];
}

function settlePhrase(phase: "invoke" | "ok" | "fail" | "info", message: string, disposition: string): string {
  const said = `"${disposition}" about ${message}`;
  return {
    invoke: `is about to say ${said}`,
    ok: `hears that the broker took ${said}`,
    fail: `hears that ${said} came too late`,
    info: `does not know whether the broker took ${said}`,
  }[phase];
}

type Witnessed = Exclude<
  HistoryEvent,
  { readonly what: "sent" | "delivered" | "started" | "leased" | "held" | "write" | "outcome" | "settle" }
>;

function witnessPhrase(event: Witnessed): string {
  switch (event.what) {
    case "escaped":
      return `${event.kind}: ${event.detail}`;
    case "owner":
      return `${event.resource}: owner ${event.was ?? "nobody"} becomes ${event.became ?? "nobody"}`;
    case "token":
      return `${event.resource}: ${event.status} by ${event.claimant}, token ${event.token}`;
    case "wrote":
      return `a write of ${event.claimant} for ${event.resource} is committed under token ${event.token}`;
    case "final-row":
      return `at the end ${event.resource} is ${event.owner ?? "nobody"}'s`;
    case "final-claim":
      return `at the end ${event.claimant} has ${event.resource ?? "nothing"}: ${event.status}, token ${event.token}`;
    case "effect":
      return `gets an effect for ${event.claimant} of ${event.resource} (${event.via}, ${event.key})`;
    case "final-message":
      return `at the end ${event.message} is ${event.state}`;
    case "final-letter":
      return `at the end the reason of ${event.message} is kept`;
    case "lock":
      return `${event.owner} ${event.did} ${event.key}${event.was === null ? "" : `, which was ${event.was}'s`}`;
    case "fault":
      return `${event.id} ${event.kind} of ${event.target}: ${event.phase}`;
    case "frame":
      return event.mark;
  }
}
