import { connect } from "amqplib";
import { consume } from "../../src/queue/amqplib.ts";
import type { SignUp } from "./broker.ts";
import type { ServedQueue, SignUpService, Voucher } from "./sign-up-service.ts";

/** Where a message waits that failed or was put off, and how often it is tried: the same in every test over RabbitMQ. */
export const RABBITMQ_OPTIONS = { attempts: 20, attemptDelayMs: 50, delaysMs: [100, 1_000, 10_000] } as const;

/** Serves the queue with a consumer that comes back by itself. */
export async function serveRabbitmq(url: string, queue: string, { handler, options }: SignUpService): Promise<ServedQueue> {
  const connection = await connect(url, { recovery: { initialDelay: 50, maxDelay: 500 } });
  const consumer = await consume<SignUp, unknown, Voucher>(connection, queue, handler, {
    ...options,
    ...RABBITMQ_OPTIONS,
    concurrency: 10,
  });
  return {
    async close() {
      await consumer.close();
      await connection.close();
    },
  };
}
