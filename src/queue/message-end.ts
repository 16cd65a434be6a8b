import type { MessageEnd } from "../claim/row-note.ts";
import { ExclaimError } from "../errors.ts";
import { NO_ROW } from "../settle/decide.ts";
import type { Outcome } from "../settle/outcome.ts";
import type { Judgement, Served } from "./deliver-message.ts";

/** How a message ends by what its broker is about to be told; undefined where the broker delivers it again. */
export function endOf(served: Served, lastAttempt: boolean, judge: (error: unknown) => Judgement): MessageEnd | undefined {
  const { disposition } = served;
  switch (disposition.do) {
    case "complete":
      return completedEnd(served);
    case "retry":
      return undefined;
    case "dead-letter":
      return givenUpEnd(served, disposition.error);
    case "fail": {
      const judgement = judge(disposition.error);
      const isEnd = judgement === "final" || (judgement === "failure" && lastAttempt);
      return isEnd ? givenUpEnd(served, disposition.error) : undefined;
    }
  }
}

/** The end of a message that its broker is told is done, also where a rule says so of one that got no row. */
export function completedEnd({ outcome, resourceId }: Served): MessageEnd {
  switch (outcome?.status) {
    case "completed":
      if (outcome.isReleased === true || resourceId === undefined) return refused("released: the handler gave its row back");
      return { status: "completed", resourceId };
    case "replayed":
      return { status: "replayed" };
    case "empty":
    case "taken":
    case "contended":
      return { ...refused(NO_ROW[outcome.status]), hasNoClaim: true };
    case "lost":
      return refused(outcome.error.message, outcome.error);
    default:
      return refused("the message was not served");
  }
}

/** The end of a message that its broker is told never to deliver again. */
export function givenUpEnd({ outcome }: Pick<Served, "outcome">, error: unknown): MessageEnd {
  return { status: "given-up", error, ...(isWithoutClaim(outcome) ? { hasNoClaim: true } : {}) };
}

function isWithoutClaim(outcome: Outcome | undefined): boolean {
  return outcome?.status === "empty" || outcome?.status === "taken" || outcome?.status === "contended";
}

function refused(reason: string, cause?: unknown) {
  const error = new ExclaimError("REFUSED", reason, cause === undefined ? {} : { cause });
  return { status: "given-up", error } as const;
}
