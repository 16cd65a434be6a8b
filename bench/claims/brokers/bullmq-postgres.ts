import { createPostgresBackend, runMigrations, withBackend } from "bullmq";
import pg from "pg";
import type { Broker, QueuePlace, Supply, Voucherless } from "../queue/broker.ts";
import { bullmqBroker } from "../queue/bullmq.ts";

const { Queue, Worker } = withBackend(createPostgresBackend);

/** BullMQ in PostgreSQL, the one that has the rows as well, by its own pools as it makes them; in a schema of the queue's own. */
export const bullmqPostgres: Broker = {
  async supply(place): Promise<Supply> {
    await administer(place, (client) => runMigrations(client, schemaOf(place)));
    const supply = await broker.supply(place);
    return {
      ...supply,
      async close() {
        await supply.close();
        await administer(place, (client) => client.query(`drop schema ${schemaOf(place)} cascade`));
      },
    };
  },
  consume: (place, work, served) => broker.consume(place, work, served),
};

const broker = bullmqBroker({
  openQueue: async (place) => new Queue<Voucherless>(place.queue, { connection: connectionTo(place) }),
  openWorker: async (place, processor) =>
    new Worker<Voucherless>(place.queue, processor, {
      connection: connectionTo(place),
      autorun: false,
      concurrency: place.concurrency,
    }),
});

function connectionTo(place: QueuePlace) {
  return { connectionString: place.urls[0] ?? "", schema: schemaOf(place) };
}

function schemaOf({ queue }: QueuePlace): string {
  return `${queue}_bullmq`;
}

async function administer(place: QueuePlace, act: (client: pg.Client) => Promise<unknown>): Promise<void> {
  const client = new pg.Client({ connectionString: place.urls[0] ?? "" });
  await client.connect();
  try {
    await act(client);
  } finally {
    await client.end();
  }
}
