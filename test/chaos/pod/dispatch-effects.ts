import type pg from "pg";
import { dispatchOutbox, type OutboxDispatcher } from "../../../src/outbox/dispatch-outbox.ts";
import type { EffectSent } from "../pod-messages.ts";

/** Moves what completed claims published to the receiver outside, under the ids of the outbox. */
export function dispatchEffects(database: pg.Pool, send: (effects: readonly EffectSent[]) => Promise<void>): OutboxDispatcher {
  return dispatchOutbox({
    database,
    to: (messages) =>
      send(messages.map(({ id, payload }) => ({ key: id, via: "outbox", ...(payload as Omit<EffectSent, "key" | "via">) }))),
    pollMs: 500,
    // What failed is tried again; that all of it arrives is judged at the end.
    onError: () => {},
  });
}
