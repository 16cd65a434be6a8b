import { UNKNOWN_WAIT_MS } from "./claim-answers.ts";
import type { QueryAnswer } from "./database.ts";
import type { TakeAnswer, TakeRequest } from "./resource-ledger.ts";

/** Turns the rows of a take statement into answers, one a request. */
export function takeAnswers(resource: string, requests: readonly TakeRequest[], { rows }: QueryAnswer): readonly TakeAnswer[] {
  return requests.map((request, index) => takeAnswer(resource, request, rows[index] as TakeRow));
}

interface TakeRow {
  /** Null unless the request holds its lease. */
  readonly token: string | null;
  readonly attempt: number;
  readonly retry_after_ms: number | null;
  readonly too_early: boolean;
}

function takeAnswer(resource: string, { key, holder }: TakeRequest, row: TakeRow): TakeAnswer {
  if (row.token === null) {
    const retryAfterMs = row.retry_after_ms === null ? UNKNOWN_WAIT_MS : Math.max(1, row.retry_after_ms);
    return { status: "contended", retryAfterMs, tooEarly: row.too_early };
  }
  const lease = { resource, key, holder, token: BigInt(row.token) };
  return { status: "held", lease, attempt: row.attempt, resumed: row.attempt > 1 };
}
