import { type Job, Worker } from "bullmq";
import { withClaim } from "../../src/queue/bullmq.ts";
import type { SignUp } from "./broker.ts";
import type { ServedQueue, SignUpService, Voucher } from "./sign-up-service.ts";

/** Serves the queue with a BullMQ worker. */
export async function serveBullmq(url: string, queue: string, { handler, options }: SignUpService): Promise<ServedQueue> {
  const address = new URL(url);
  const worker = new Worker<SignUp>(queue, withClaim<Job<SignUp>, unknown, Voucher>(handler, options), {
    connection: { host: address.hostname, port: Number(address.port), maxRetriesPerRequest: null },
    concurrency: 10,
    lockDuration: 3_000,
    stalledInterval: 1_000,
    maxStalledCount: 1_000,
    name: String(process.pid),
  });
  worker.on("error", () => {});
  return { close: () => worker.close() };
}
