import { describe, expect, it } from "vitest";
import type { Spacing } from "../../../src/ledger/resource-ledger.ts";
import { type CreateResources, LAPSE_MS, LONG_TTL_MS, openResources, SHORT_TTL_MS } from "./fixture.ts";

/** How long a key rests between two takes. */
export function spacingRules(create: CreateResources): void {
  const start = (minIntervalMs: number): Spacing => ({ from: "start", minIntervalMs });
  const end = (minIntervalMs: number): Spacing => ({ from: "end", minIntervalMs });
  const beat = (intervalMs: number): Spacing => ({ from: "beat", intervalMs });

  describe("a key that rests", () => {
    for (const spacing of [start(30_000), end(30_000), beat(30_000)]) {
      it(`R5 is told as too early, with what is left as the hint, to whoever asks: from ${spacing.from}`, async () => {
        const driver = await openResources(create);
        const sentAtMs = driver.fixture.now();
        const { lease } = await driver.held("42", { spacing });
        await driver.end(lease);

        const wishes = [{ spacing }, { spacing: { from: "none" } }, { mode: "shared" }, { spacing: start(1) }] as const;
        for (const wish of wishes) {
          const answer = await driver.expectHint("42", 30_000, sentAtMs, wish);
          expect(answer.tooEarly).toBe(true);
        }
        expect(await driver.lease("42")).toMatchObject({ token: 1n, status: "completed" });
      });

      it(`R5 does not move when the key is asked for in vain, ended again or renewed too late: from ${spacing.from}`, async () => {
        const driver = await openResources(create);
        const { lease } = await driver.held("42", { spacing });
        await driver.end(lease);
        const before = (await driver.lease("42"))?.notBeforeUs;

        await driver.take("42", { spacing });
        await driver.take("42", { spacing: start(60_000) });
        await driver.end(lease);
        await driver.renew(lease);

        expect((await driver.lease("42"))?.notBeforeUs).toBe(before);
        expect(typeof before).toBe("bigint");
      });

      it(`R5 rests after a failure too: from ${spacing.from}`, async () => {
        const driver = await openResources(create);
        await driver.end((await driver.held("42", { spacing })).lease, "failed");

        const answer = await driver.contended("42");

        expect(answer.tooEarly).toBe(true);
      });
    }

    for (const spacing of [start(300), end(300), beat(300)]) {
      it(`R3 is refused until the hint and held at the hint: from ${spacing.from}`, async () => {
        const driver = await openResources(create);
        await driver.end((await driver.held("42", { spacing })).lease);

        const { hint, held } = await driver.heldAtTheHint("42");

        expect(hint.tooEarly).toBe(true);
        expect(held).toMatchObject({ attempt: 1, resumed: false, lease: { token: 2n } });
      });
    }

    for (const spacing of [start(20), end(20), beat(20)]) {
      it(`R5 does not move when the key is taken without spacing: from ${spacing.from}`, async () => {
        const driver = await openResources(create);
        await driver.end((await driver.held("42", { spacing })).lease);
        const before = (await driver.lease("42"))?.notBeforeUs;
        await driver.fixture.elapse(30);

        const { lease } = await driver.held("42");
        await driver.renew(lease);
        await driver.end(lease);

        expect((await driver.lease("42"))?.notBeforeUs).toBe(before);
        expect(typeof before).toBe("bigint");
      });
    }

    it("R3 is told the later of the lease and the rest", async () => {
      const driver = await openResources(create);
      const sentAtMs = driver.fixture.now();
      await driver.held("long lease", { ttlMs: 30_000, spacing: start(10_000) });
      await driver.held("long rest", { ttlMs: 10_000, spacing: start(30_000) });
      await driver.held("both", { ttlMs: 10_000, spacing: end(20_000) });

      for (const key of ["long lease", "long rest", "both"]) {
        const answer = await driver.expectHint(key, 30_000, sentAtMs);
        expect(answer.tooEarly).toBe(false);
      }
    });

    it("R5 does not rest when nobody asks for it", async () => {
      const driver = await openResources(create);
      await driver.end((await driver.held("42", { spacing: { from: "none" } })).lease);

      const answer = await driver.held("42");

      expect(answer.lease.token).toBe(2n);
      expect(await driver.lease("42")).toMatchObject({ notBeforeUs: null });
    });
  });

  describe("spacing from the start", () => {
    it("R5 counts from the take, whatever the work takes and however the lease is renewed", async () => {
      const driver = await openResources(create);
      const sentAtMs = driver.fixture.now();
      const { lease } = await driver.held("42", { spacing: start(30_000), ttlMs: 1_000 });
      await driver.renew(lease, 2_000);
      await driver.fixture.elapse(50);
      await driver.end(lease);

      await driver.expectHint("42", 30_000, sentAtMs);
      const early = await driver.contended("42");
      expect(early.retryAfterMs).toBeLessThanOrEqual(29_960);
    });

    for (const known of [false, true]) {
      it(`R5 survives a crash: the later of lease and interval decides, of a key that ${known ? "was taken before" : "is new"}`, async () => {
        const driver = await openResources(create);
        if (known) await driver.end((await driver.held("42")).lease);
        const sentAtMs = driver.fixture.now();
        await driver.held("42", { spacing: start(30_000), ttlMs: SHORT_TTL_MS });
        await driver.fixture.elapse(LAPSE_MS);

        const answer = await driver.expectHint("42", 30_000, sentAtMs);

        expect(answer.tooEarly).toBe(true);
      });
    }

    it("R5 makes the next take wait no more than the lease when the work takes longer than the interval", async () => {
      const driver = await openResources(create);
      const { lease } = await driver.held("42", { spacing: start(20) });
      await driver.fixture.elapse(30);
      await driver.end(lease);

      const answer = await driver.held("42", { spacing: start(20) });

      expect(answer.lease.token).toBe(2n);
    });

    it("R5 counts once for a holder that asks again", async () => {
      const driver = await openResources(create);
      const sentAtMs = driver.fixture.now();
      await driver.held("42", { holder: "a", spacing: start(30_000) });
      const before = await driver.lease("42");
      await driver.fixture.elapse(20);

      const { lease } = await driver.held("42", { holder: "a", spacing: start(30_000) });

      expect((await driver.lease("42"))?.notBeforeUs).toBe(before?.notBeforeUs);
      await driver.end(lease);
      await driver.expectHint("42", 30_000, sentAtMs);
    });
  });

  describe("spacing from the end", () => {
    it("R5 counts from the end, not from the take or the end of the lease that was left", async () => {
      const driver = await openResources(create);
      const { lease } = await driver.held("42", { spacing: end(10_000), ttlMs: LONG_TTL_MS });
      await driver.fixture.elapse(50);
      const endedAtMs = driver.fixture.now();
      await driver.end(lease);

      const answer = await driver.expectHint("42", 10_000, endedAtMs);

      expect(answer.tooEarly).toBe(true);
    });

    for (const known of [false, true]) {
      it(`R5 counts from the end of the lease after a crash, of a key that ${known ? "was taken before" : "is new"}`, async () => {
        const driver = await openResources(create);
        if (known) await driver.end((await driver.held("42")).lease);
        const sentAtMs = driver.fixture.now();
        await driver.held("42", { spacing: end(30_000), ttlMs: SHORT_TTL_MS });
        await driver.fixture.elapse(LAPSE_MS);

        const answer = await driver.expectHint("42", 30_150, sentAtMs);

        expect(answer.tooEarly).toBe(true);
      });
    }

    it("R5 counts from the end of the renewed lease after a crash", async () => {
      const driver = await openResources(create);
      const { lease } = await driver.held("42", { spacing: end(30_000), ttlMs: LONG_TTL_MS });
      await driver.fixture.elapse(50);
      const sentAtMs = driver.fixture.now();
      await driver.renew(lease, SHORT_TTL_MS);
      await driver.fixture.elapse(LAPSE_MS);

      const answer = await driver.expectHint("42", 30_150, sentAtMs);

      expect(answer.tooEarly).toBe(true);
    });

    it("R5 counts from the end of the lease that a holder got by asking again", async () => {
      const driver = await openResources(create);
      await driver.held("42", { holder: "a", spacing: end(30_000), ttlMs: LONG_TTL_MS });
      const sentAtMs = driver.fixture.now();
      await driver.held("42", { holder: "a", spacing: end(30_000), ttlMs: SHORT_TTL_MS });
      await driver.fixture.elapse(LAPSE_MS);

      const answer = await driver.expectHint("42", 30_150, sentAtMs);

      expect(answer.tooEarly).toBe(true);
    });

    it("R5 is that of the last take: a later one without it rests no more", async () => {
      const driver = await openResources(create);
      await driver.end((await driver.held("42", { spacing: end(20) })).lease);
      await driver.fixture.elapse(30);
      const { lease } = await driver.held("42");
      await driver.renew(lease);
      await driver.end(lease);

      const answer = await driver.held("42");

      expect(answer.lease.token).toBe(3n);
    });
  });

  describe("a spacing that is none", () => {
    const wrong: Spacing[] = [start(-1), start(Number.NaN), end(Number.POSITIVE_INFINITY), beat(0), beat(0.5)];
    for (const spacing of wrong) {
      it(`R5 is refused alone with CONFIG_INVALID: ${JSON.stringify(spacing)}`, async () => {
        const driver = await openResources(create);

        const answer = await driver.take("42", { spacing });

        expect(answer).toMatchObject({ status: "refused", error: { code: "CONFIG_INVALID" } });
        expect(await driver.fixture.leases()).toEqual([]);
      });
    }

    it("R5 may be zero from start and end", async () => {
      const driver = await openResources(create);

      for (const spacing of [start(0), end(0), start(0)]) {
        const { lease } = await driver.held("42", { spacing });
        await driver.end(lease);
      }

      expect(await driver.lease("42")).toMatchObject({ token: 3n });
    });
  });
}
