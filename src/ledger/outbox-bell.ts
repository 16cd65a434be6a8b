import type { Clock } from "../clock.ts";
import { outboxChannel } from "./outbox-channel.ts";
import type { Statements } from "./run-statement.ts";

/** A process rings no more often, however much it publishes. */
const MIN_RING_INTERVAL_MS = 50;

/**
 * Tells dispatchers that something was published, in a moment and without anybody waiting for it. Outside of the transaction that
 * published: a NOTIFY in it would make all commits of the server that notify wait in one line.
 * Shape: call the returned function after each such commit. It never throws; a bell that nobody hears is made up for by polling.
 */
export function outboxBell(server: Statements, clock: Clock, schema: string): () => void {
  const ring = { text: "select pg_notify($1, '')", values: [outboxChannel(schema)] };
  let isRinging = false;
  let isDue = false;
  return () => {
    isDue = true;
    if (!isRinging) void ringOnce();
  };

  async function ringOnce(): Promise<void> {
    isRinging = true;
    isDue = false;
    const startedMs = clock.now();
    await server.run(ring).catch(() => {});
    clock.after(Math.max(0, startedMs + MIN_RING_INTERVAL_MS - clock.now()), () => {
      isRinging = false;
      if (isDue) void ringOnce();
    });
  }
}
