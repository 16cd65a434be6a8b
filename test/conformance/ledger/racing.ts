import { describe, expect, it } from "vitest";
import { type Claimed, type CreateLedger, type LedgerDriver, openLedger } from "./fixture.ts";

/** What stays true when many ask at the same time. */
export function racingRules(create: CreateLedger): void {
  describe("many at once", () => {
    it("S1 50 claimants in 10 batches share 20 rows: 20 have one each, 30 are told empty", async () => {
      const driver = await openLedger(create, { rows: 20 });
      const batches = Array.from({ length: 10 }, (_, batch) => Array.from({ length: 5 }, (_, n) => String(batch * 5 + n + 1)));

      const { claimed, empty } = await raceToTheEnd(driver, batches);

      expect(new Set(claimed.map((answer) => answer.claim.resourceId)).size).toBe(20);
      expect(new Set(claimed.map((answer) => answer.claim.claimant)).size).toBe(20);
      expect([claimed.length, empty.length]).toEqual([20, 30]);
      const owners = await driver.owners();
      expect(claimed.map((answer) => owners[answer.claim.resourceId])).toEqual(claimed.map((answer) => answer.claim.claimant));
      expect(Object.keys(await driver.holders())).toHaveLength(20);
    });

    it("S6 as many claimants as rows all get one, in order and without", async () => {
      for (const definition of [{}, { orderBy: "id" }]) {
        const driver = await openLedger(create, { rows: 24, definition });
        const batches = Array.from({ length: 8 }, (_, batch) => [0, 1, 2].map((n) => String(batch * 3 + n + 1)));

        const { claimed, empty } = await raceToTheEnd(driver, batches);

        expect([claimed.length, empty]).toEqual([24, []]);
        expect(new Set(claimed.map((answer) => answer.claim.resourceId)).size).toBe(24);
      }
    });

    it("S2 ten deliveries of one claimant get one claim, the others are contended", async () => {
      const driver = await openLedger(create, { rows: 10 });

      const answers = await Promise.all(Array.from({ length: 10 }, () => driver.claim("7")));

      expect(answers.map((answer) => answer.status).toSorted()).toEqual(["claimed", ...Array(9).fill("contended")]);
      expect(Object.values(await driver.owners()).filter((owner) => owner !== null)).toEqual(["7"]);
      expect(await driver.fixture.claims()).toHaveLength(1);
    });

    it("S2 batches that name the same claimants in opposite orders are all answered, each claimant with one row", async () => {
      const driver = await openLedger(create, { rows: 40 });
      const claimants = Array.from({ length: 10 }, (_, n) => String(n + 1));
      const batches = Array.from({ length: 8 }, (_, n) => (n % 2 === 0 ? claimants : claimants.toReversed()));

      const answers = (await Promise.all(batches.map((batch) => driver.claimMany(batch)))).flat();

      const statuses = new Set(answers.map((answer) => answer.status));
      expect([...statuses].toSorted()).toEqual(["claimed", "contended"]);
      expect(answers.filter((answer) => answer.status === "claimed")).toHaveLength(10);
      expect(Object.values(await driver.holders()).toSorted()).toEqual(claimants.toSorted());
    });

    it("S3 one resume wins of ten at once, and it alone may write", async () => {
      const driver = await openLedger(create, { rows: 1 });
      const first = await driver.claimed("7");
      await driver.fail(first.claim);

      const answers = await Promise.all(Array.from({ length: 10 }, () => driver.claim("7")));

      const winners = answers.filter((answer) => answer.status === "claimed");
      expect(winners.map((answer) => answer.claim.token)).toEqual([first.claim.token + 1n]);
      expect(answers.filter((answer) => answer.status === "contended")).toHaveLength(9);
      expect(await driver.complete(first.claim)).toBe("lost");
    });

    it("C10 one of ten claimants gets the row that all picked, the others are told taken", async () => {
      const driver = await openLedger(create, { rows: 3 });
      const claimants = Array.from({ length: 10 }, (_, n) => String(n + 1));

      const { claimed, taken } = await raceToTheEnd(
        driver,
        claimants.map((claimant) => [claimant]),
        "2",
      );

      expect(claimed.map((answer) => answer.claim.resourceId)).toEqual(["2"]);
      expect(taken).toHaveLength(9);
    });

    it("S3 tokens of rows that are passed on and on count every grant once, in the order each claimant sees them", async () => {
      const driver = await openLedger(create, { rows: 2 });
      const passOn = async (claimant: string) => {
        const granted: Claimed[] = [];
        for (let turn = 0; turn < 5; turn += 1) {
          const { claimed } = await raceToTheEnd(driver, [[claimant]]);
          granted.push(...claimed);
          for (const answer of claimed) await driver.release(answer.claim);
        }
        return granted;
      };

      const byClaimant = await Promise.all(["7", "8", "9", "10"].map(passOn));

      for (const id of ["1", "2"]) {
        const seen = byClaimant.map((granted) => tokensOf(granted, id));
        for (const tokens of seen) expect(tokens).toEqual(inOrder(tokens));
        const all = inOrder(seen.flat());
        expect(all.map((token) => token - (all[0] ?? 0n))).toEqual(all.map((_, index) => BigInt(index)));
      }
      expect(byClaimant.flat().length).toBeGreaterThan(5);
      expect(await driver.owners()).toEqual({ 1: null, 2: null });
    });
  });
}

function tokensOf(granted: readonly Claimed[], resourceId: string): bigint[] {
  return granted.filter(({ claim }) => claim.resourceId === resourceId).map(({ claim }) => claim.token);
}

function inOrder(tokens: readonly bigint[]): bigint[] {
  return tokens.toSorted((a, b) => (a < b ? -1 : 1));
}

interface Race {
  readonly claimed: readonly Claimed[];
  readonly empty: readonly string[];
  readonly taken: readonly string[];
}

/** Asks all batches at once, and those that were contended again until none is. */
async function raceToTheEnd(driver: LedgerDriver, batches: readonly (readonly string[])[], pick?: string): Promise<Race> {
  const claimed: Claimed[] = [];
  const told: Record<"empty" | "taken", string[]> = { empty: [], taken: [] };
  let waiting = batches;
  for (let round = 0; waiting.length > 0; round += 1) {
    if (round === 200) throw new Error("Claimants were contended for 200 rounds although nobody holds what they want.");
    const wish = pick === undefined ? {} : { pick };
    const rounds = waiting.map(async (batch) => {
      const contended: string[] = [];
      const answers = await driver.claimMany(batch, wish);
      for (const [index, claimant] of batch.entries()) {
        const answer = answers[index];
        if (answer?.status === "claimed") claimed.push(answer);
        else if (answer?.status === "contended") contended.push(claimant);
        else if (answer?.status === "empty" || answer?.status === "taken") told[answer.status].push(claimant);
        else throw new Error(`The claim of ${claimant} was answered ${answer?.status ?? "by nothing"}.`);
      }
      return contended;
    });
    waiting = (await Promise.all(rounds)).filter((contended) => contended.length > 0);
    if (waiting.length > 0) await driver.fixture.elapse(10);
  }
  return { claimed, ...told };
}
