import { redlock } from "../../../src/lock/redlock.ts";
import { PATIENT_MS, redisProduct } from "../redis-product.ts";

export const product = redisProduct({
  title: "redlock over 3 Redis",
  count: 3,
  can: { shared: false, push: true },
  create: async ({ clients, subscribers }) => redlock(clients, { nodeTimeoutMs: PATIENT_MS, subscribers: await subscribers() }),
});
