import type pg from "pg";
import { startRabbitmq } from "../support/rabbitmq.ts";
import type { Broker } from "./broker.ts";
import { RabbitmqMessages } from "./rabbitmq-messages.ts";

/** RabbitMQ, one node of our own. */
export async function startRabbitmqBroker(queue: string, database: pg.Pool): Promise<Broker> {
  const server = await startRabbitmq();
  const messages = new RabbitmqMessages(server.url, queue, database);
  return {
    url: server.url,
    send: (users) => messages.send(users),
    ended: () => messages.ended(),
    account: () => messages.account(),
    stop: () => server.stop(),
  };
}
