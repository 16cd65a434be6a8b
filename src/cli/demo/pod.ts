/**
 * One pod: a process of its own that consumes one variant's queue. Its parent tells it what to do in a first message and to stop
 * in a second; it answers `ready` when it consumes. It ends by itself when its parent is gone.
 */
import { once } from "node:events";
import type pg from "pg";
import type { LockBackend } from "../../lock/lock.ts";
import { openWorker, type Processor } from "./broker.ts";
import { openPool } from "./database.ts";
import { lockAfterRead } from "./handlers/lock-after-read.ts";
import { lockRowBy, lockRowInPostgres } from "./handlers/lock-row.ts";
import { naive } from "./handlers/naive.ts";
import { claiming } from "./handlers/with-claim.ts";
import { openRedlock } from "./open-redlock.ts";
import type { PodOrder } from "./pod-order.ts";

/** A handler as BullMQ calls it, and what must be closed after it. */
interface Handler {
  readonly processor: Processor;
  close(): Promise<void>;
}

async function consume(order: PodOrder): Promise<void> {
  const database = await openPool(order.databaseUrl, order.schemas.variants[order.variant], order.concurrency);
  const redis = order.broker.kind === "redis" ? await openRedlock(order.broker.url) : undefined;
  const { processor, close } = await openHandler(order, database, redis?.lock);

  const worker = await openWorker(order.broker, order.queue, processor, order.concurrency);
  worker.on("error", (error) => console.error(error.message));
  await worker.waitUntilReady();
  process.send?.("ready");

  await once(process, "message");
  await worker.close();
  await close();
  redis?.close();
  await database.end();
}

async function openHandler(order: PodOrder, database: pg.Pool, lock: LockBackend | undefined): Promise<Handler> {
  const { variant, schemas } = order;
  const schema = schemas.variants[variant];
  const close = async () => {};
  switch (variant) {
    case "naive":
      return { processor: naive(database), close };
    case "lockAfterRead": {
      const lockRow = lock === undefined ? lockRowInPostgres(database) : lockRowBy(lock, schema, database);
      return { processor: lockAfterRead(database, lockRow), close };
    }
    case "withClaim":
      return claiming({ database, schema, ledger: schemas.ledger, lock });
  }
}

// Ctrl-C reaches every process of the terminal; the parent decides when a pod ends.
process.on("SIGINT", () => {});
process.once("disconnect", () => process.exit());

const [order] = (await once(process, "message")) as [PodOrder];
await consume(order);
process.disconnect();
