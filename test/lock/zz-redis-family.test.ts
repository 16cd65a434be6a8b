import { fileURLToPath } from "node:url";
import { describe, vi } from "vitest";
import { acrossClients } from "../conformance/lock/across-clients.ts";
import { connectionFaults } from "../conformance/lock/connection-faults.ts";
import { productBed } from "../conformance/lock/lock-products.ts";
import { counterFuzz, jumpingClock, killedHolder, pausedHolder, stalledHolder } from "../conformance/lock/process-faults.ts";
import { serverFaults } from "../conformance/lock/server-faults.ts";
import { lockContract, lockContractInTime } from "../conformance/lock-conformance.ts";

vi.setConfig({ maxConcurrency: 40, testTimeout: 90_000 });
const names = ["redis", "redlock-1", "redlock-3", "redlock-5", "node-redlock-4", "node-redlock-5"].filter(
  (n) => !process.env.ONLY || process.env.ONLY.split(",").includes(n),
);
const products = await Promise.all(
  names.map(async (n) => {
    const url = new URL(`./products/${n}.ts`, import.meta.url);
    return { ...(await import(url.href)).product, file: fileURLToPath(url) };
  }),
);
const beds = products.map(productBed);
const part = process.env.PART ?? "all";
if (part === "all" || part === "contract") {
  for (const bed of beds)
    describe(`${bed.product.title} keeps the lock contract`, () => {
      lockContract(bed.create, bed.product);
      acrossClients(bed);
    });
  describe.concurrent("while time passes", () => {
    for (const bed of beds) describe(`${bed.product.title}`, () => lockContractInTime(bed.create, bed.product));
  });
}
if (part === "all" || part === "servers")
  describe.concurrent("servers", () => {
    for (const product of products) describe(`the servers of ${product.title}`, () => serverFaults(product));
  });
if (part === "all" || part === "holders") {
  counterFuzz(beds);
  describe.concurrent("what happens to a holder", () => {
    killedHolder(beds);
    pausedHolder(beds);
    stalledHolder(beds);
    jumpingClock(beds);
    for (const bed of beds) describe(`conn ${bed.product.title}`, () => connectionFaults(bed));
  });
}
