import type { Clock } from "../clock.ts";
import { ExclaimError } from "../errors.ts";
import { nameOf, type RedisConnection, withoutSecrets } from "./redis-client.ts";

/** What a call is for, and how long it may take. */
export interface Purpose {
  /** For errors, e.g. `acquire "order:1"`. */
  readonly task: string;
  readonly limitMs: number;
}

/**
 * What `work` over a connection gives, in time.
 * Throws LOCK_UNREACHABLE: it failed, or takes longer; then `onLate` was called first, and what comes of it is nobody's.
 */
export function within<T>(
  work: Promise<T>,
  connection: RedisConnection,
  { task, limitMs }: Purpose,
  clock: Clock,
  onLate: () => void = () => undefined,
): Promise<T> {
  return new Promise((resolve, reject) => {
    let isSettled = false;
    const giveUp = () => {
      if (isSettled) return;
      onLate();
      const state = connection.status === undefined ? "" : ` (client is ${connection.status})`;
      reject(unreachable(connection, task, `no answer within ${Math.round(limitMs)} ms${state}`));
    };
    // A timer that is late, after a stall of the event loop, may find the answer waiting in the socket: it is read first.
    const cancel = clock.after(limitMs, () => clock.after(0, giveUp));
    const settle = (outcome: () => void) => {
      isSettled = true;
      cancel();
      outcome();
    };
    work.then(
      (value) => settle(() => resolve(value)),
      (error: unknown) =>
        settle(() => reject(unreachable(connection, task, error instanceof Error ? error.message : String(error)))),
    );
  });
}

export function unreachable(connection: RedisConnection, task: string, why: string): ExclaimError {
  const node = nameOf(connection);
  const cause = withoutSecrets(why, connection);
  const message = `redis could not ${task}: ${node}: ${cause}`;
  return new ExclaimError("LOCK_UNREACHABLE", message, { backend: "redis", nodes: [{ node, cause }] });
}
