import type { Renewal } from "../lease/guard.ts";
import type { EndAnswer } from "../ledger/ledger.ts";

/** What the ledger's answer to a renewal means. One that a transaction holds at this moment, or that was refused, is asked for again. */
export function renewalOf(answer: EndAnswer): Renewal {
  if (answer === "done") return "kept";
  if (answer === "lost") return "lost";
  return { error: typeof answer === "object" ? answer.refused : new Error("a transaction holds it at this moment") };
}
