import { afterAll, describe, vi } from "vitest";
import { connectionFaults } from "../conformance/lock/connection-faults.ts";
import { lockProducts, productBed } from "../conformance/lock/lock-products.ts";
import {
  counterFuzz,
  jumpingClock,
  killedHolder,
  PodCrew,
  pausedHolder,
  stalledHolder,
} from "../conformance/lock/process-faults.ts";

// These tests wait for time to pass, which they do beside each other, but not so many that the machine is what they measure.
vi.setConfig({ maxConcurrency: 12, testTimeout: 90_000 });

const products = await lockProducts();
// A client of several servers that act as one does not know them from one server, until one of them fails: faults-servers.test.ts.
const beds = products.filter(({ nodes }) => nodes.kind !== "replicated").map(productBed);
const crew = new PodCrew(beds);
afterAll(() => crew.dismiss());

counterFuzz(beds, crew);

describe("what happens to the process of a holder", () => {
  killedHolder(beds, crew);
  pausedHolder(beds, crew);
  stalledHolder(beds, crew);
  jumpingClock(beds, crew);
});

describe("what happens to the connections of a holder", () => {
  for (const bed of beds) describe.concurrent(`of ${bed.product.title}`, () => connectionFaults(bed));
});
