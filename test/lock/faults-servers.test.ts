import { describe, vi } from "vitest";
import { lockProducts } from "../conformance/lock/lock-products.ts";
import { serverFaults } from "../conformance/lock/server-faults.ts";

// Each product has servers of its own here, so what is waited for is waited for beside the others; a few at a time, or the machine is
// what is measured.
vi.setConfig({ maxConcurrency: 5, testTimeout: 90_000 });

// Those with most servers take longest: they begin.
const products = [...(await lockProducts())].sort((a, b) => b.nodes.count - a.nodes.count);

describe.concurrent("what happens to servers", () => {
  for (const product of products) describe(`the servers of ${product.title}`, () => serverFaults(product));
});
