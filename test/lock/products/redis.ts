import { redis } from "../../../src/lock/redis.ts";
import { PATIENT_MS, redisProduct } from "../redis-product.ts";

export const product = redisProduct({
  title: "one Redis",
  count: 1,
  can: { shared: true, push: true },
  create: async ({ clients: [client], subscribers }) => {
    const [subscriber] = await subscribers();
    if (client === undefined || subscriber === undefined) throw new Error("one Redis needs a URL");
    return redis(client, { callTimeoutMs: PATIENT_MS, subscriber });
  },
});
