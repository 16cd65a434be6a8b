import { describe, expect, it } from "vitest";
import type { ResourceRef } from "../../../src/ledger/resource-ledger.ts";
import {
  asHeld,
  type CreateResources,
  LAPSE_MS,
  LONG_TTL_MS,
  openResources,
  type ResourceDriver,
  SHORT_TTL_MS,
} from "./fixture.ts";

/** How leases end and last, and who may say so. */
export function endingRules(create: CreateResources): void {
  describe("an end", () => {
    for (const how of ["completed", "failed"] as const) {
      it(`R4 makes the key free at once: ${how}`, async () => {
        const driver = await openResources(create);
        const { lease } = await driver.held("42");

        const ended = await driver.end(lease, how);

        expect(ended).toBe("done");
        expect(await driver.lease("42")).toMatchObject({ status: how, token: 1n });
        expect((await driver.held("42")).lease.token).toBe(2n);
      });

      it(`R4 is done again when it is told again, and the first stays: ${how}`, async () => {
        const driver = await openResources(create);
        const { lease } = await driver.held("42");
        await driver.end(lease, how);

        const again = [await driver.end(lease, how), await driver.end(lease, how === "failed" ? "completed" : "failed")];

        expect(again).toEqual(["done", "done"]);
        expect(await driver.lease("42")).toMatchObject({ status: how });
        expect((await driver.held("42")).attempt).toBe(how === "failed" ? 2 : 1);
      });
    }

    it("R4 is done for a lease that ran out and that nobody took since", async () => {
      const driver = await openResources(create);
      const { lease } = await driver.held("42", { ttlMs: SHORT_TTL_MS });
      await driver.fixture.elapse(LAPSE_MS);

      const ended = await driver.end(lease, "completed");

      expect(ended).toBe("done");
      expect(await driver.held("42")).toMatchObject({ attempt: 1, resumed: false });
    });
  });

  describe("a renewal", () => {
    it("R4 makes the lease last from now", async () => {
      const driver = await openResources(create);
      const { lease } = await driver.held("42", { ttlMs: SHORT_TTL_MS });

      const sentAtMs = driver.fixture.now();
      const renewed = await driver.renew(lease, 30_000);

      expect(renewed).toBe("done");
      await driver.expectHint("42", 30_000, sentAtMs);
      expect(await driver.lease("42")).toMatchObject({ token: 1n, attempt: 1 });
    });

    it("R4 can make it shorter", async () => {
      const driver = await openResources(create);
      const { lease } = await driver.held("42");

      const renewed = await driver.renew(lease, 10);

      expect(renewed).toBe("done");
      await driver.fixture.elapse(15);
      expect((await driver.held("42")).lease.token).toBe(2n);
    });

    it("R4 revives a lease that ran out and that nobody took since", async () => {
      const driver = await openResources(create);
      const { lease } = await driver.held("42", { ttlMs: SHORT_TTL_MS });
      await driver.fixture.elapse(LAPSE_MS);

      const renewed = await driver.renew(lease, 30_000);

      expect(renewed).toBe("done");
      expect((await driver.take("42")).status).toBe("contended");
    });

    it("R4 is lost once the lease has ended", async () => {
      const driver = await openResources(create);
      const { lease } = await driver.held("42");
      await driver.end(lease);

      const renewed = await driver.renew(lease);

      expect(renewed).toBe("lost");
      expect((await driver.held("42")).lease.token).toBe(2n);
    });
  });

  describe("who is not the holder under the newest token", () => {
    const strangers: [who: string, of: (driver: ResourceDriver) => Promise<ResourceRef>][] = [
      ["an older token, after the lease ran out", (driver) => takenOver(driver)],
      ["an older token, after it had ended", (driver) => endedAndTaken(driver)],
      ["another holder with the same token", async (driver) => ({ ...(await driver.held("42")).lease, holder: "stranger" })],
      ["a token that is not there yet", async (driver) => ({ ...(await driver.held("42")).lease, token: 2n })],
      ["another resource", async (driver) => ({ ...(await driver.held("42")).lease, resource: "invoice" })],
      ["another key", async (driver) => ({ ...(await driver.held("42")).lease, key: "43" })],
    ];
    for (const [who, of] of strangers) {
      it(`S4 can neither end nor renew: ${who}`, async () => {
        const driver = await openResources(create);
        const lease = await of(driver);
        const before = await driver.fixture.leases();

        const answers = [await driver.renew(lease), await driver.end(lease, "completed"), await driver.end(lease, "failed")];

        expect(answers).toEqual(["lost", "lost", "lost"]);
        expect(await driver.fixture.leases()).toEqual(before);
        expect((await driver.take("42")).status).toBe("contended");
      });
    }

    it("S4 does not make the newest lease last by a renewal", async () => {
      const driver = await openResources(create);
      const { lease } = await driver.held("42");
      await driver.end(lease);
      await driver.held("42", { ttlMs: SHORT_TTL_MS });
      await driver.renew(lease, LONG_TTL_MS);
      await driver.fixture.elapse(LAPSE_MS);

      const answer = await driver.held("42");

      expect(answer).toMatchObject({ resumed: true, lease: { token: 3n } });
    });
  });

  describe("a batch of ends or renewals", () => {
    it("R4 is answered one by one in the order asked", async () => {
      const driver = await openResources(create);
      const [a, b, c] = (await driver.takeMany(["a", "b", "c"])).map((answer) => asHeld(answer).lease);
      const other = (await driver.held("a", { resource: "invoice" })).lease;
      if (a === undefined || b === undefined || c === undefined) throw new Error("Three keys were asked for.");
      const stale = { ...b, token: b.token + 5n };
      const { ledger } = driver.fixture;

      const renewed = await ledger.renew([c, stale, other, a], 30_000);
      const ended = await ledger.end([
        { lease: stale, how: "completed" },
        { lease: c, how: "failed" },
        { lease: other, how: "completed" },
        { lease: a, how: "completed" },
      ]);

      expect(renewed).toEqual(["done", "lost", "done", "done"]);
      expect(ended).toEqual(["lost", "done", "done", "done"]);
      const answers = await driver.takeMany(["a", "b", "c"]);
      expect(answers.map((answer) => (answer.status === "held" ? answer.attempt : answer.status))).toEqual([1, "contended", 2]);
      expect([await ledger.renew([], 30_000), await ledger.end([])]).toEqual([[], []]);
    });
  });
}

async function takenOver(driver: ResourceDriver): Promise<ResourceRef> {
  const { lease } = await driver.held("42", { ttlMs: SHORT_TTL_MS });
  await driver.fixture.elapse(LAPSE_MS);
  await driver.held("42");
  return lease;
}

async function endedAndTaken(driver: ResourceDriver): Promise<ResourceRef> {
  const { lease } = await driver.held("42");
  await driver.end(lease);
  await driver.held("42");
  return lease;
}
