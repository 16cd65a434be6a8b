import { fileURLToPath } from "node:url";
import { describe, vi } from "vitest";
import { acrossClients } from "../conformance/lock/across-clients.ts";
import { productBed } from "../conformance/lock/lock-products.ts";
import { lockContract, lockContractInTime } from "../conformance/lock-conformance.ts";

vi.setConfig({ maxConcurrency: 40 });
const names = (process.env.PRODUCTS ?? "postgres-row,postgres-advisory").split(",");
const beds = await Promise.all(
  names.map(async (n) => {
    const file = new URL(`./products/${n}.ts`, import.meta.url);
    const m = await import(file.href);
    return productBed({ ...m.product, file: fileURLToPath(file) });
  }),
);
for (const bed of beds) {
  describe(`${bed.product.title} keeps the lock contract`, () => {
    lockContract(bed.create, bed.product);
    acrossClients(bed);
  });
}
describe.concurrent("while time passes", () => {
  for (const bed of beds) describe(`${bed.product.title}`, () => lockContractInTime(bed.create, bed.product));
});
