import { describe, expect, it } from "vitest";
import type { Spacing } from "../../../src/ledger/resource-ledger.ts";
import { BEAT_MS, type CreateResources, LAPSE_MS, openResources, SHORT_TTL_MS } from "./fixture.ts";

/** Keys that are taken by the clock: a grid that neither drifts nor catches up. */
export function beatRules(create: CreateResources): void {
  const beat = (intervalMs: number): Spacing => ({ from: "beat", intervalMs });

  describe("a beat", () => {
    it("R6 stays on its grid, beat for beat, however late each take is and however long it works", async () => {
      const driver = await openResources(create);
      const spacing = beat(BEAT_MS);
      const points: bigint[] = [];

      for (let count = 0; count < driver.fixture.beats; count += 1) {
        const answer = await driver.take("42", { spacing });
        // Held at once the first time, and where the machine was slower than the beat.
        if (answer.status === "contended") {
          // A take that came late passes over a point less than half a beat away.
          expect(answer.retryAfterMs).toBeLessThanOrEqual(BEAT_MS * 1.5);
          await driver.fixture.elapse(answer.retryAfterMs + (count % 3));
        }
        const { lease } = answer.status === "held" ? answer : await driver.held("42", { spacing });
        points.push((await driver.lease("42"))?.notBeforeUs ?? 0n);
        await driver.fixture.elapse(count % 2);
        await driver.end(lease);
      }

      const first = points[0] ?? 0n;
      const places = points.map((point) => point - first);
      expect(places.filter((place) => place % BigInt(BEAT_MS * 1_000) !== 0n)).toEqual([]);
      expect(new Set(places).size).toBe(driver.fixture.beats);
      expect(places).toEqual(places.toSorted((a, b) => (a < b ? -1 : 1)));
    });

    it("R6 skips beats that were missed: the next is the first point after the take, and no burst follows", async () => {
      const driver = await openResources(create);
      const spacing = beat(BEAT_MS);
      await driver.end((await driver.held("42", { spacing })).lease);
      const first = (await driver.lease("42"))?.notBeforeUs ?? 0n;
      await driver.fixture.elapse(BEAT_MS * 4.3);
      const passedMs = driver.fixture.now();

      await driver.end((await driver.held("42", { spacing })).lease);
      const answer = await driver.take("42", { spacing });
      const slowMs = driver.fixture.now() - passedMs;

      const next = (await driver.lease("42"))?.notBeforeUs ?? 0n;
      expect((next - first) % BigInt(BEAT_MS * 1_000)).toBe(0n);
      expect(next - first).toBeGreaterThanOrEqual(BigInt(BEAT_MS * 4 * 1_000));
      if (slowMs < BEAT_MS / 8) {
        expect(next - first).toBe(BigInt(BEAT_MS * 4 * 1_000));
        expect(answer).toMatchObject({ status: "contended", tooEarly: true });
      }
    });

    // Planted: the next point however near; this test failed.
    it("R6 passes over a point less than half a beat after a late take: starts lie about a beat apart", async () => {
      const driver = await openResources(create);
      const spacing = beat(BEAT_MS);
      await driver.end((await driver.held("42", { spacing })).lease);
      const first = (await driver.lease("42"))?.notBeforeUs ?? 0n;
      await driver.fixture.elapse(BEAT_MS * 1.6);

      const takenAtMs = driver.fixture.now();
      await driver.end((await driver.held("42", { spacing })).lease);
      const answer = await driver.take("42", { spacing });
      const slowMs = driver.fixture.now() - takenAtMs;

      const next = (await driver.lease("42"))?.notBeforeUs ?? 0n;
      expect((next - first) % BigInt(BEAT_MS * 1_000)).toBe(0n);
      if (slowMs < BEAT_MS / 8) {
        expect(next - first).toBe(BigInt(BEAT_MS * 2 * 1_000));
        expect(answer).toMatchObject({ status: "contended", tooEarly: true });
      }
    });

    it("R6 begins a grid at the first take", async () => {
      const driver = await openResources(create);
      const sentAtMs = driver.fixture.now();
      await driver.end((await driver.held("42", { spacing: beat(30_000) })).lease);

      const answer = await driver.expectHint("42", 30_000, sentAtMs);

      expect(answer.tooEarly).toBe(true);
    });

    it("R6 takes a change of its interval with the take that brings it, on from the point before", async () => {
      const driver = await openResources(create);
      await driver.end((await driver.held("42", { spacing: beat(BEAT_MS) })).lease);
      const first = (await driver.lease("42"))?.notBeforeUs ?? 0n;
      await driver.fixture.elapse(BEAT_MS + 5);
      await driver.end((await driver.held("42", { spacing: beat(10_000) })).lease);

      const second = (await driver.lease("42"))?.notBeforeUs ?? 0n;

      expect(second - first).toBe(10_000_000n);
      expect((await driver.contended("42", { spacing: beat(1) })).retryAfterMs).toBeGreaterThan(9_000);
    });

    it("R6 counts once for a holder that asks again", async () => {
      const driver = await openResources(create);
      await driver.held("42", { holder: "a", spacing: beat(30_000) });
      const first = (await driver.lease("42"))?.notBeforeUs;

      await driver.held("42", { holder: "a", spacing: beat(30_000) });

      expect((await driver.lease("42"))?.notBeforeUs).toBe(first);
    });

    it("R6 goes on after a crash, at the later of the lease's end and the next beat", async () => {
      const driver = await openResources(create);
      await driver.held("42", { spacing: beat(30_000), ttlMs: SHORT_TTL_MS });
      await driver.fixture.elapse(LAPSE_MS);

      const answer = await driver.contended("42");

      expect(answer.tooEarly).toBe(true);
      expect(answer.retryAfterMs).toBeLessThanOrEqual(29_850);
    });
  });
}
