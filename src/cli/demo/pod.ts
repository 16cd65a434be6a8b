/**
 * One pod: a process of its own that consumes one variant's queue. Its parent tells it what to do in a first message and to stop
 * in a second; it answers `ready` when it consumes. It ends by itself when its parent is gone.
 */
import { once } from "node:events";
import type pg from "pg";
import type { LockBackend } from "../../lock/lock.ts";
import type { Consumer } from "./broker.ts";
import { openPool } from "./database.ts";
import { lockAfterRead } from "./handlers/lock-after-read.ts";
import { lockRowBy, lockRowInPostgres } from "./handlers/lock-row.ts";
import { naive } from "./handlers/naive.ts";
import { claiming } from "./handlers/with-claim.ts";
import { sendNotifications } from "./notifications.ts";
import { openBroker } from "./open-broker.ts";
import { openRedlock } from "./open-redlock.ts";
import type { PodOrder } from "./pod-order.ts";

async function consume(order: PodOrder): Promise<void> {
  const database = await openPool(order.databaseUrl, order.schemas.variants[order.variant], order.concurrency);
  const redis = order.redisUrl === undefined ? undefined : await openRedlock(order.redisUrl);
  const consumer = await openConsumer(order, database, redis?.lock);
  process.send?.("ready");

  await Promise.race([once(process, "message"), consumer.ended]);
  await consumer.close();
  redis?.close();
  await database.end();
}

/** Runs the handler that was asked for. */
async function openConsumer(order: PodOrder, database: pg.Pool, lock: LockBackend | undefined): Promise<Consumer> {
  const { variant, schemas, queue, concurrency } = order;
  const schema = schemas.variants[variant];
  const broker = openBroker(order.broker);
  const consuming = { queue, concurrency, database, onError: (error: Error) => console.error(error.message) };
  switch (variant) {
    case "naive":
      return broker.consume(consuming, naive(database));
    case "lockAfterRead": {
      const lockRow = lock === undefined ? lockRowInPostgres(database) : lockRowBy(lock, schema, database);
      return broker.consume(consuming, lockAfterRead(database, lockRow));
    }
    case "withClaim": {
      const claims = await claiming({ database, schema, ledger: schemas.ledger, lock });
      const notifications = await sendNotifications(broker, consuming, schemas.ledger);
      const consumer = await broker.consumeWithClaim(consuming, claims);
      return {
        ended: Promise.race([consumer.ended, notifications.ended]),
        async close() {
          await consumer.close();
          await claims.close();
          await notifications.close();
        },
      };
    }
  }
}

// Ctrl-C reaches every process of the terminal; the parent decides when a pod ends.
process.on("SIGINT", () => {});
process.once("disconnect", () => process.exit());

const [order] = (await once(process, "message")) as [PodOrder];
await consume(order);
process.disconnect();
