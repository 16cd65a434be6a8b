import { fromRedlock } from "../../../src/lock/node-redlock.ts";
import { PublishedRedlock4 } from "../published-redlock.ts";
import { PATIENT_MS, redisProduct } from "../redis-product.ts";

export const product = redisProduct({
  title: "the package redlock 4 over 3 Redis",
  count: 3,
  can: { shared: false, push: false },
  create: ({ clients }) => fromRedlock(new PublishedRedlock4(clients), { callTimeoutMs: PATIENT_MS }),
});
