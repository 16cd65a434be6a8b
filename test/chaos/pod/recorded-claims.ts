import type { Outcome, Pool, Resource } from "../../../src/index.ts";
import type { HistoryLog } from "../history-log.ts";
import { currentDelivery } from "./current-delivery.ts";

/** The pool, with what the engine makes of each delivery written down. */
export function recordedPool<R extends object>(pool: Pool<R>, log: HistoryLog): Pool<R> {
  return {
    name: pool.name,
    claim: async (request, handler) => recorded(await pool.claim(request, handler), request.claimant, log),
    giveUp: (request) => pool.giveUp(request),
    noteDeadLetter: (letter) => pool.noteDeadLetter(letter),
    accountRow: (note) => pool.accountRow(note),
    jitter: () => pool.jitter(),
  };
}

/** The same for a named resource. */
export function recordedResource(resource: Resource, log: HistoryLog): Resource {
  return {
    name: resource.name,
    claim: async (request, handler) => recorded(await resource.claim(request, handler), request.key, log),
    every: (intervalMs, handler, options) => resource.every(intervalMs, handler, options),
    noteDeadLetter: (letter) => resource.noteDeadLetter(letter),
    accountRow: (note) => resource.accountRow(note),
    jitter: () => resource.jitter(),
  };
}

function recorded<T>(outcome: Outcome<T>, claimant: string, log: HistoryLog): Outcome<T> {
  const delivery = currentDelivery();
  delivery.outcome = outcome.status;
  log.write({ what: "outcome", delivery: delivery.id, claimant, status: outcome.status });
  return outcome;
}
