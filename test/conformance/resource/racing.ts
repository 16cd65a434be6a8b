import { describe, expect, it } from "vitest";
import type { TakeRequest } from "../../../src/ledger/resource-ledger.ts";
import { type CreateResources, type Held, openResources, type ResourceDriver, type TakeWish } from "./fixture.ts";

/** What stays true when many ask at the same time. */
export function racingRules(create: CreateResources): void {
  describe("many at once", () => {
    it("R1 one of 50 takes of one key wins, whether the key is new or was held before", async () => {
      const driver = await openResources(create);
      await driver.end((await driver.held("known")).lease);

      for (const key of ["new", "known"]) {
        const answers = await Promise.all(Array.from({ length: 50 }, () => driver.take(key)));

        const winners = answers.filter((answer) => answer.status === "held");
        expect(winners).toHaveLength(1);
        expect(answers.filter((answer) => answer.status === "contended")).toHaveLength(49);
        expect(winners[0]?.lease.token).toBe(key === "new" ? 1n : 2n);
        expect(await driver.lease(key)).toMatchObject({ token: winners[0]?.lease.token });
      }
    });

    it("R1 one of ten takes over a lease that ran out, and it alone may end it", async () => {
      const driver = await openResources(create);
      const crashed = await driver.held("42", { ttlMs: 1 });
      await driver.fixture.elapse(5);

      const answers = await Promise.all(Array.from({ length: 10 }, () => driver.take("42")));

      const winners = answers.filter((answer) => answer.status === "held");
      expect(winners.map(({ lease, attempt }) => [lease.token, attempt])).toEqual([[2n, 2]]);
      expect(await driver.end(crashed.lease)).toBe("lost");
    });

    it("S3 the tokens of 200 handovers among 20 grow by one, in the order in which they are held", async () => {
      const driver = await openResources(create);
      const tokens: bigint[] = [];

      await Promise.all(
        Array.from({ length: 20 }, async () => {
          for (let turn = 0; turn < 10; turn += 1) {
            const { lease } = await holdWhenFree(driver, "42");
            tokens.push(lease.token);
            expect(await driver.end(lease)).toBe("done");
          }
        }),
      );

      expect(tokens).toEqual(Array.from({ length: 200 }, (_, index) => BigInt(index + 1)));
    });

    it("R1 R7 a key is never exclusive beside anybody, while readers and writers come and go", async () => {
      const driver = await openResources(create);
      const holding = { exclusive: 0, shared: 0 };
      const seen: { readonly exclusive: number; readonly shared: number }[] = [];
      const turn = async (mode: TakeRequest["mode"]): Promise<void> => {
        const { lease } = await holdWhenFree(driver, "42", { mode });
        holding[mode] += 1;
        seen.push({ ...holding });
        await driver.fixture.elapse(1);
        holding[mode] -= 1;
        expect(await driver.end(lease)).toBe("done");
      };

      await Promise.all(
        Array.from({ length: 12 }, async (_, worker) => {
          for (let count = 0; count < 12; count += 1) await turn((worker + count) % 3 === 0 ? "exclusive" : "shared");
        }),
      );

      expect(seen.filter(({ exclusive, shared }) => exclusive > 1 || (exclusive === 1 && shared > 0))).toEqual([]);
      expect(seen).toHaveLength(144);
      expect(Math.max(...seen.map(({ shared }) => shared))).toBeGreaterThan(1);
    });

    it("R1 batches that name the same keys in opposite orders are all answered, each key with one holder", async () => {
      const driver = await openResources(create);
      const keys = Array.from({ length: 20 }, (_, n) => `key-${n}`);
      const batches = Array.from({ length: 10 }, (_, n) => (n % 2 === 0 ? keys : keys.toReversed()));

      const answers = (await Promise.all(batches.map((batch) => driver.takeMany(batch)))).flat();

      expect(new Set(answers.map((answer) => answer.status))).toEqual(new Set(["held", "contended"]));
      const held = answers.flatMap((answer) => (answer.status === "held" ? [answer.lease.key] : []));
      expect(held.toSorted()).toEqual(keys.toSorted());
    });

    it("R5 starts are never closer than their spacing, among many who come as soon as they are told", async () => {
      const driver = await openResources(create);
      const spacing = { from: "start", minIntervalMs: 40 } as const;
      const points: bigint[] = [];

      await Promise.all(
        Array.from({ length: 5 }, async () => {
          for (let turn = 0; turn < 2; turn += 1) {
            const { lease } = await holdWhenFree(driver, "42", { spacing });
            points.push((await driver.lease("42"))?.notBeforeUs ?? 0n);
            await driver.end(lease);
          }
        }),
      );

      const gaps = points.slice(1).map((point, index) => point - (points[index] ?? 0n));
      expect(points).toHaveLength(10);
      expect(gaps.filter((gap) => gap < 40_000n)).toEqual([]);
    });
  });
}

/** Asks until the key is held. */
async function holdWhenFree(driver: ResourceDriver, key: string, wish: TakeWish = {}): Promise<Held> {
  for (let tries = 0; tries < 5_000; tries += 1) {
    const answer = await driver.take(key, wish);
    if (answer.status === "held") return answer;
    if (answer.status === "refused") throw answer.error;
    await driver.fixture.elapse(Math.min(answer.retryAfterMs, 5));
  }
  throw new Error("The key was contended for 5,000 tries although nobody keeps it.");
}
