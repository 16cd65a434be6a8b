import { describe, vi } from "vitest";
import { acrossClients } from "../conformance/lock/across-clients.ts";
import { lockProducts, productBed } from "../conformance/lock/lock-products.ts";
import { lockContract, lockContractInTime } from "../conformance/lock-conformance.ts";

// Tests that wait do so beside each other, those of all products together.
vi.setConfig({ maxConcurrency: 50 });

const beds = (await lockProducts()).map(productBed);

for (const bed of beds) {
  describe(`${bed.product.title} keeps the lock contract`, () => {
    lockContract(bed.create, bed.product);
    acrossClients(bed);
  });
}

describe.concurrent("while time passes", () => {
  for (const bed of beds) describe(`${bed.product.title}`, () => lockContractInTime(bed.create, bed.product));
});
