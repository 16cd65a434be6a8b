import { setTimeout as delay } from "node:timers/promises";
import type { Started } from "../checker/history.ts";
import { eventually } from "../support/eventually.ts";
import type { Outgoing } from "./chaos-broker.ts";
import { type EpisodePlan, MANY_ATTEMPTS } from "./episode-plan.ts";
import { monotonicMs } from "./history-log.ts";
import { isServedAgain, openWorks } from "./open-works.ts";
import type { PodCrew } from "./pod-crew.ts";
import type { PodProcess } from "./pod-pool.ts";

const READY_LIMIT_MS = 15_000;
const WORK_LIMIT_MS = 5_000;
const CLOSE_LIMIT_MS = 15_000;
const WAVE_EVERY_MS = 1_000;
const USERS_PER_WAVE = 3;
const KEYS_PER_WAVE = 3;
const LOOK_EVERY_MS = 250;
/** What a queue may add to a redelivery, as the checker has it. */
const SERVED_WITHIN_MS = 10_000;
/** For the clocks of two logs, and for a timer. */
const SLACK_MS = 300;

export interface QuietPorts {
  readonly plan: EpisodePlan;
  readonly crew: PodCrew;
  /** After what time at most the broker delivers again what a dead process had. */
  readonly redeliveryMs: number;
  send(messages: readonly Outgoing[]): Promise<void>;
  readonly signal: AbortSignal;
}

/**
 * After the faults: pods work in peace, one of them closes in order while it works, and one that has claims is killed. Then nothing else
 * is played, so that what keeps others from its claims is its death alone.
 * Returns until when the episode must be seen, by the monotonic clock, so that it can be judged; 0 where none had a claim.
 */
export async function playQuietPhase(ports: QuietPorts): Promise<number> {
  const { plan, crew, redeliveryMs } = ports;
  const beganAt = monotonicMs();
  const leadMs = plan.ttlMs + redeliveryMs;
  const sending = new AbortController();
  const sent = sendWaves(ports, sending.signal);
  // It is waited for below, and may fail before.
  sent.catch(() => {});
  try {
    await eventually(() => crew.awake.length === plan.pods, {
      timeoutMs: READY_LIMIT_MS,
      what: "a crew that is complete again",
    });
    // What the storm left must be over before what comes of the two is judged.
    await pause(beganAt + 2 * plan.ttlMs + SLACK_MS, ports);
    await closeOne(ports);
    await pause(beganAt + leadMs + SLACK_MS, ports);
    const victim = await busiest(ports);
    if (victim === undefined) return 0;
    const killedAt = monotonicMs();
    await crew.killInPeace(victim);
    const untilMs = monotonicMs() + leadMs + SERVED_WITHIN_MS + SLACK_MS;
    await allServedAgain(ports, { works: openWorks(crew.eventsOf(victim)), killedAt, untilMs });
    return untilMs;
  } finally {
    sending.abort();
    await sent;
  }
}

/** A few messages a second, each for a claimant of its own, whose handlers take about a lease. */
async function sendWaves({ send }: QuietPorts, signal: AbortSignal): Promise<void> {
  for (let wave = 1; !signal.aborted; wave += 1) {
    const facts = { isPoison: false, isSlow: true, attempts: MANY_ATTEMPTS } as const;
    const users = Array.from({ length: USERS_PER_WAVE }, (_, index) => `late-user-${wave}-${index + 1}`);
    const keys = Array.from({ length: KEYS_PER_WAVE }, (_, index) => `late-key-${wave}-${index + 1}`);
    await send([
      ...users.map((claimant) => ({ ...facts, queue: "pool" as const, claimant, message: `m-${claimant}` })),
      ...keys.map((claimant) => ({ ...facts, queue: "resource" as const, claimant, message: `r-${claimant}` })),
    ]);
    await delay(WAVE_EVERY_MS, undefined, { signal }).catch(() => {});
  }
}

/** Waits for its end, so that nothing of it is felt by what follows. */
async function closeOne(ports: QuietPorts): Promise<void> {
  const pod = await busiest(ports);
  if (pod === undefined) return;
  pod.tell({ say: "close" });
  // One that does not end is what the end of the episode finds.
  await eventually(() => pod.hasEnded, { timeoutMs: CLOSE_LIMIT_MS }).catch(() => {});
  ports.signal.throwIfAborted();
}

/** The process that has most in hand. Undefined where none has anything for seconds. */
async function busiest({ crew, signal }: QuietPorts): Promise<PodProcess | undefined> {
  const untilMs = monotonicMs() + WORK_LIMIT_MS;
  while (monotonicMs() < untilMs) {
    const pods = crew.awake.map((pod) => ({ pod, works: openWorks(crew.eventsOf(pod)).length }));
    const [first] = pods.sort((one, other) => other.works - one.works);
    if (first !== undefined && first.works > 0) return first.pod;
    await delay(LOOK_EVERY_MS);
    signal.throwIfAborted();
  }
  return undefined;
}

async function allServedAgain(
  { crew, signal }: QuietPorts,
  { works, killedAt, untilMs }: { readonly works: readonly Started[]; readonly killedAt: number; readonly untilMs: number },
): Promise<void> {
  while (monotonicMs() < untilMs) {
    const events = crew.awake.flatMap((pod) => crew.eventsOf(pod));
    if (works.every((work) => isServedAgain(work, events, killedAt))) return;
    await delay(LOOK_EVERY_MS);
    signal.throwIfAborted();
  }
}

async function pause(untilMs: number, { signal }: QuietPorts): Promise<void> {
  await delay(Math.max(0, untilMs - monotonicMs()), undefined, { signal }).catch(() => {});
  signal.throwIfAborted();
}
