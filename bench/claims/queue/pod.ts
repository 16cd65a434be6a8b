/** One process that consumes a queue: see `pod-calls.ts`. */

import { serve } from "../../child.ts";
import { monotonicMs } from "../../locks/monotonic.ts";
import type { Consumer } from "./broker.ts";
import { BROKERS } from "./brokers.ts";
import type { PodCalls } from "./pod-calls.ts";
import { openWork } from "./work.ts";

let settled = 0;
let lastAtMs = 0;
let fault: string | null = null;
let consumer: Consumer | undefined;
let closeWork = async (): Promise<void> => {};

serve<PodCalls>({
  async begin(settings) {
    const opened = await openWork(settings);
    closeWork = opened.close;
    const place = { urls: settings.brokerUrls, queue: settings.queue, concurrency: settings.concurrency };
    consumer = await BROKERS[settings.broker].consume(place, opened.work, {
      onSettled() {
        settled += 1;
        lastAtMs = monotonicMs();
      },
      onFault(error) {
        fault ??= error.stack ?? error.message;
      },
    });
    return undefined;
  },
  async start() {
    settled = 0;
    lastAtMs = monotonicMs();
    const beganMs = lastAtMs;
    await consumer?.start();
    return beganMs;
  },
  count: async () => ({ settled, lastAtMs, fault }),
  async stop() {
    await consumer?.stop();
    return undefined;
  },
  async close() {
    await consumer?.close();
    await closeWork();
    return undefined;
  },
});
