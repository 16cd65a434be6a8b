import type { Claim } from "../claim/claim.ts";
import { ExclaimError } from "../errors.ts";
import { decide } from "../settle/decide.ts";
import type { Outcome } from "../settle/outcome.ts";
import type { Disposition, SettlePolicy } from "../settle/policy.ts";
import type { ClaimTarget } from "./claim-target.ts";

/** What an error of the handler means: another attempt may mend it, none will, or the handler put its own message off. */
export type Judgement = "failure" | "final" | "pause";

/** One delivery of a message, as its adapter knows it. */
export interface MessageDelivery<M> {
  readonly message: M;
  readonly messageId: string | undefined;
  /** Aborts when the broker takes the message away, or the caller does. */
  readonly signal: AbortSignal;
  /** How often the message was put off so far, or its process died. */
  readonly deferrals: number;
  /** Attempts burned before this delivery. */
  readonly attemptsMade: number;
  /** The message is not delivered again if this attempt fails. */
  readonly lastAttempt: boolean;
  /** Why the broker will take no answer about this delivery, once that is so: it delivers the message again whatever comes of it. */
  loss(): ExclaimError | undefined;
}

/** How the messages of one consumer are served. */
export interface Serving<M, T, R> {
  readonly handler: (message: M, claim: Claim<R>) => Promise<T>;
  readonly target: ClaimTarget<M, R>;
  readonly policy: SettlePolicy<M>;
  readonly judge: (error: unknown) => Judgement;
}

/** What the broker is to be told, and whether the claim needs nothing more should that be the end of the message. */
export interface Served {
  readonly disposition: Disposition;
  readonly isDealtWith: boolean;
  /** On whose behalf, where the message said so. */
  readonly claimant: string | undefined;
  /** What came of its last claim; undefined for a message that was not served. */
  readonly outcome: Outcome | undefined;
  /** The row or key that its handler last had. */
  readonly resourceId: string | undefined;
}

interface Claimed<T> {
  readonly claimant: string;
  readonly outcome: Outcome<T>;
  readonly resourceId: string | undefined;
  readonly isDealtWith: boolean;
}

/**
 * The way of one delivery through the engine, the same for every broker: claim, run the handler, decide, and claim once more where a rule
 * says to wait. Never throws: whatever goes wrong, in a rule too, is a disposition.
 */
export async function deliverMessage<M, T, R>(delivery: MessageDelivery<M>, serving: Serving<M, T, R>): Promise<Served> {
  const { policy, target } = serving;
  const { message, deferrals, attemptsMade } = delivery;
  let last = await claim(delivery, serving, 0);
  try {
    let disposition = decide(last.outcome, policy, { message, deferrals, attemptsMade, ...last }, target.jitter());
    if (disposition.do === "wait") {
      last = await claim(delivery, serving, disposition.waitMs);
      disposition = decide(last.outcome, policy, { message, deferrals, attemptsMade, ...last }, target.jitter(), true);
    }
    if (disposition.do === "retry" && !Number.isFinite(disposition.delayMs)) {
      throw new ExclaimError("CONFIG_INVALID", `a rule gave delayMs ${disposition.delayMs}: give a number of milliseconds`);
    }
    return served(disposition, last);
  } catch (error) {
    return served({ do: "fail", error }, last);
  }
}

function served(disposition: Disposition, { claimant, outcome, resourceId, isDealtWith }: Claimed<unknown>): Served {
  return { disposition, isDealtWith, claimant: claimant === "" ? undefined : claimant, outcome, resourceId };
}

/** The claim of one delivery, as a function that does not throw: whatever goes wrong is an outcome. */
async function claim<M, T, R>(
  delivery: MessageDelivery<M>,
  { handler, target, judge }: Serving<M, T, R>,
  waitMs: number,
): Promise<Claimed<T>> {
  const { message, messageId, signal, lastAttempt } = delivery;
  const run = runOf(handler, message);
  let claimant = "";
  let outcome: Outcome<T>;
  try {
    claimant = target.claimantOf(message);
    const facts = {
      ...(messageId === undefined ? {} : { messageId }),
      ...(waitMs === 0 ? {} : { waitMs }),
      signal,
      lastAttempt,
      judge: (error: unknown) => (delivery.loss() === undefined ? judge(error) : "pause"),
    };
    outcome = await target.claim(message, facts, run.handle);
  } catch (error) {
    outcome = { status: "failed", error };
  }
  // Not a failure of the message, whichever attempt it is: the broker delivers it again.
  const loss = delivery.loss();
  if (outcome.status === "failed" && loss !== undefined) outcome = { status: "lost", error: loss };
  const isDealtWith = needsNothingMore(outcome, run.hasStarted && (lastAttempt || judgeOf(outcome, judge) === "final"));
  // What the handler told the broker holds even if its claim was cancelled or lost meanwhile: it may have moved its message already.
  const isOverruled = (outcome.status === "failed" || outcome.status === "lost") && judge(run.thrown) !== "failure";
  if (isOverruled) outcome = { status: "failed", error: run.thrown };
  return { claimant, outcome, resourceId: run.resourceId, isDealtWith };
}

function judgeOf(outcome: Outcome, judge: (error: unknown) => Judgement): Judgement | undefined {
  return outcome.status === "failed" ? judge(outcome.error) : undefined;
}

/** `wasEnd`: the engine knew that this attempt was the last. */
function needsNothingMore(outcome: Outcome, wasEnd: boolean): boolean {
  switch (outcome.status) {
    case "completed":
    case "replayed":
    case "empty":
    case "taken":
      return true;
    case "failed":
      return wasEnd;
    case "contended":
    case "lost":
      return false;
  }
}

/** One run of the handler, and what is to be known of it afterwards. */
function runOf<M, T, R>(handler: (message: M, claim: Claim<R>) => Promise<T>, message: M) {
  const run = {
    hasStarted: false,
    resourceId: undefined as string | undefined,
    thrown: undefined as unknown,
    async handle(claim: Claim<R>): Promise<T> {
      run.hasStarted = true;
      run.resourceId = claim.key;
      try {
        return await handler(message, claim);
      } catch (error) {
        run.thrown = error;
        throw error;
      }
    },
  };
  return run;
}
