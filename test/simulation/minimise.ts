import type { Verdict } from "../checker/history.ts";
import type { MessagePlan, Plan, WorkPlan } from "./plan.ts";
import { judgePlan } from "./run-seed.ts";
import type { Planted } from "./world.ts";

/** A plan that fails still, and in which nothing is left that it fails without. */
export interface SmallestPlan {
  readonly plan: Plan;
  readonly verdict: Verdict;
  /** Runs that it took to find it. */
  readonly tries: number;
}

const MAX_TRIES = 1_500;

/** Drops faults, messages, processes and settings one after another while the first invariant that was broken still is. */
export async function minimise(plan: Plan, planted?: Planted): Promise<SmallestPlan> {
  const first = await judgePlan(plan, planted);
  const broken = first.verdict.violations[0]?.invariant;
  let smallest: SmallestPlan = { plan, verdict: first.verdict, tries: 1 };
  let tries = 1;
  for (let found = broken !== undefined; found; ) {
    found = false;
    for (const smaller of smallerPlans(smallest.plan)) {
      if (tries >= MAX_TRIES) return { ...smallest, tries };
      tries += 1;
      const { verdict } = await judgePlan(smaller, planted);
      if (!verdict.violations.some(({ invariant }) => invariant === broken)) continue;
      const violations = verdict.violations.filter(({ invariant }) => invariant === broken);
      smallest = { plan: smaller, verdict: { ...verdict, violations }, tries };
      found = true;
      break;
    }
  }
  return { ...smallest, tries };
}

/** Plans with one thing less, the greatest first. */
function* smallerPlans(plan: Plan): Generator<Plan> {
  const { faults, messages } = plan;
  if (faults.length > 2) {
    const half = faults.length >> 1;
    yield { ...plan, faults: faults.slice(half) };
    yield { ...plan, faults: faults.slice(0, half) };
  }
  for (const message of messages) {
    if (messages.length > 1) yield { ...plan, messages: messages.filter((other) => other !== message) };
  }
  for (const fault of faults) yield { ...plan, faults: faults.filter((other) => other !== fault) };
  if (plan.processes > 1) {
    const processes = plan.processes - 1;
    yield { ...plan, processes, faults: faults.filter((fault) => !("process" in fault) || fault.process < processes) };
  }
  yield* simplerSettings(plan);
  for (const message of messages) {
    for (const simpler of simplerMessages(message)) {
      yield { ...plan, messages: messages.map((other) => (other === message ? simpler : other)) };
    }
  }
}

const PLAINEST = {
  slots: 1,
  lockBy: "none",
  onFailure: "keep",
  onGiveUp: "keep",
  onReplay: "return-result",
  onContended: "retry",
  onEmpty: "fail",
  maxHoldMs: null,
  hasClaimNew: false,
} as const satisfies Partial<Plan>;

function* simplerSettings(plan: Plan): Generator<Plan> {
  for (const [name, value] of Object.entries(PLAINEST)) {
    if (plan[name as keyof typeof PLAINEST] !== value) yield { ...plan, [name]: value };
  }
  if (!plan.broker.renews) yield { ...plan, broker: { ...plan.broker, renews: true } };
  if (plan.broker.noticesCrash) yield { ...plan, broker: { ...plan.broker, noticesCrash: false } };
  const { minIntervalMs, mode } = plan.resource;
  if (minIntervalMs > 0) yield { ...plan, resource: { ...plan.resource, minIntervalMs: 0 } };
  if (mode === "shared") yield { ...plan, resource: { ...plan.resource, mode: "exclusive" } };
  for (const [scope, count] of Object.entries(plan.rows)) {
    if (count > 1) yield { ...plan, rows: { ...plan.rows, [scope]: count - 1 } };
  }
}

const PLAINEST_WORK: WorkPlan = {
  asserts: false,
  writes: 0,
  workMs: 0,
  ignoresSignal: false,
  stallMs: 0,
  hasEffect: false,
  slowRuns: 1,
  throws: 0,
  throwsInside: false,
  ending: "return",
};

function* simplerMessages(message: MessagePlan): Generator<MessagePlan> {
  const { work } = message;
  if (message.isPoison) yield { ...message, isPoison: false };
  if (message.sentAtMs > 0) yield { ...message, sentAtMs: 0 };
  for (const [name, value] of Object.entries(PLAINEST_WORK)) {
    if (work[name as keyof WorkPlan] !== value) yield { ...message, work: { ...work, [name]: value } };
  }
}
