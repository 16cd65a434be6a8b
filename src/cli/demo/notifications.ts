import type pg from "pg";
import { dispatchOutbox } from "../../outbox/dispatch-outbox.ts";
import type { Broker, Consumer, Consuming } from "./broker.ts";
import { notify } from "./handlers/notify.ts";

/** The queue of the notifications that follow from the claims of a queue. */
export function notificationsOf(queue: string): string {
  return `${queue}_notified`;
}

/**
 * What claims published goes from the outbox to a queue of its own, and from there to the users. Every pod does both, beside the others.
 * After: closed, the consumer takes no more messages and the dispatcher no more rows; other pods go on with them.
 */
export async function sendNotifications(broker: Broker, consuming: Consuming, ledger: string): Promise<Consumer> {
  const queue = notificationsOf(consuming.queue);
  const { close, ...target } = await broker.openTarget(queue);
  const consumer = await broker.consume({ ...consuming, queue }, notify(consuming.database));
  const dispatcher = dispatchOutbox({ database: consuming.database, schema: ledger, ...target });
  return {
    ended: consumer.ended,
    async close() {
      await dispatcher.close();
      await consumer.close();
      await close();
    },
  };
}

/** How many messages of the outbox have not reached their users. */
export async function countUntold(database: pg.Pool, ledger: string): Promise<number> {
  const { rows } = await database.query<{ untold: number }>(
    `select ((select count(*) from ${ledger}.outbox) - (select count(*) from notification))::integer as untold`,
  );
  return rows[0]?.untold ?? 0;
}
