import { describe, expect, it } from "vitest";
import { asHeld, type CreateResources, LAPSE_MS, LONG_TTL_MS, openResources, requestFor, SHORT_TTL_MS } from "./fixture.ts";

/** Who gets a key, and what everybody else is told. */
export function takingRules(create: CreateResources): void {
  describe("a key that nobody has", () => {
    it("R1 is held by the first that asks, at attempt 1", async () => {
      const driver = await openResources(create);

      const answer = await driver.take("42", { holder: "a" });

      const lease = { resource: "order", key: "42", holder: "a", token: 1n };
      expect(answer).toEqual({ status: "held", lease, attempt: 1, resumed: false });
      expect(await driver.fixture.leases()).toEqual([
        expect.objectContaining({ resource: "order", key: "42", token: 1n, status: "held" }),
      ]);
    });

    it("R1 has nothing to do with other keys, other resources, or keys and names that run into each other", async () => {
      const driver = await openResources(create);
      await driver.held("42");

      const answers = [
        await driver.take("43"),
        await driver.take("42", { resource: "invoice" }),
        await driver.take("er42", { resource: "ord" }),
        await driver.take("42 ", { resource: "order" }),
        await driver.take("", { resource: "order42" }),
      ];

      expect(answers.map((answer) => [answer.status, asHeld(answer).lease.token])).toEqual(Array(5).fill(["held", 1n]));
    });

    it("R1 takes any text as a key", async () => {
      const driver = await openResources(create);
      const keys = ["", " ", "'", '"', "\\", "{a,b}", "null", "NULL", "Ünï-código 🎟️", "x".repeat(1_024), "$1", "a\tb\nc"];

      const first = await driver.takeMany(keys);
      const second = await driver.takeMany(keys);

      expect(first.map((answer) => asHeld(answer).lease.key)).toEqual(keys);
      expect(second.map((answer) => answer.status)).toEqual(keys.map(() => "contended"));
    });
  });

  describe("a key that somebody has", () => {
    it("R1 is contended for everybody else while the lease lives, with what is left of it as the hint", async () => {
      const driver = await openResources(create);
      const sentAtMs = driver.fixture.now();
      await driver.held("42", { ttlMs: LONG_TTL_MS });

      const answer = await driver.expectHint("42", 30_000, sentAtMs);

      expect(answer.tooEarly).toBe(false);
      expect(await driver.lease("42")).toMatchObject({ token: 1n, attempt: 1 });
    });

    it("R3 is refused until the hint and held at the hint", async () => {
      const driver = await openResources(create);
      await driver.held("42", { ttlMs: 300 });

      const { hint, held } = await driver.heldAtTheHint("42");

      expect(hint.tooEarly).toBe(false);
      expect(held).toMatchObject({ attempt: 2, resumed: true, lease: { token: 2n } });
    });
  });

  describe("an attempt", () => {
    it("R2 is 1 after a completed one, however often the key was taken", async () => {
      const driver = await openResources(create);
      const seen = [];

      for (let turn = 0; turn < 3; turn += 1) {
        const { lease, attempt, resumed } = await driver.held("42");
        seen.push([lease.token, attempt, resumed]);
        await driver.end(lease, "completed");
      }

      expect(seen).toEqual([
        [1n, 1, false],
        [2n, 1, false],
        [3n, 1, false],
      ]);
    });

    it("R2 counts on after failures and crashes, resumed, until one completes", async () => {
      const driver = await openResources(create);
      const seen = [];

      for (const end of ["failed", "crash", "failed", "completed", "crash", "completed", "completed"] as const) {
        const { lease, attempt, resumed } = await driver.held("42", { ttlMs: end === "crash" ? SHORT_TTL_MS : LONG_TTL_MS });
        seen.push([attempt, resumed]);
        if (end === "crash") await driver.fixture.elapse(LAPSE_MS);
        else await driver.end(lease, end);
      }

      expect(seen).toEqual([
        [1, false],
        [2, true],
        [3, true],
        [4, true],
        [1, false],
        [2, true],
        [1, false],
      ]);
    });
  });

  describe("the same holder that asks again", () => {
    it("S5 is given the same token and attempt, and the lease lasts from the second call", async () => {
      const driver = await openResources(create);
      await driver.end((await driver.held("42")).lease, "failed");
      const first = await driver.held("42", { holder: "a", ttlMs: 10_000 });

      const sentAtMs = driver.fixture.now();
      const second = await driver.held("42", { holder: "a", ttlMs: 30_000 });

      expect(second).toEqual(first);
      expect(second).toMatchObject({ attempt: 2, resumed: true, lease: { token: 2n } });
      await driver.expectHint("42", 30_000, sentAtMs);
    });

    it("S5 is given the same token though its lease ran out, as nobody took the key since", async () => {
      const driver = await openResources(create);
      const first = await driver.held("42", { holder: "a", ttlMs: SHORT_TTL_MS });
      await driver.fixture.elapse(LAPSE_MS);

      const second = await driver.held("42", { holder: "a" });

      expect(second).toEqual(first);
      expect((await driver.take("42")).status).toBe("contended");
    });

    it("S5 is contended when somebody else took the key since", async () => {
      const driver = await openResources(create);
      await driver.held("42", { holder: "a", ttlMs: SHORT_TTL_MS });
      await driver.fixture.elapse(LAPSE_MS);
      const other = await driver.held("42");

      const answer = await driver.take("42", { holder: "a" });

      expect(answer.status).toBe("contended");
      expect(await driver.lease("42")).toMatchObject({ token: other.lease.token });
    });

    it("S5 takes nothing once it has ended: a call that comes late would hold the key for nobody", async () => {
      const driver = await openResources(create);
      const { lease } = await driver.held("42", { holder: "a" });
      await driver.end(lease);

      const late = await driver.take("42", { holder: "a" });

      expect(late).toEqual({ status: "contended", retryAfterMs: 100, tooEarly: false });
      expect((await driver.held("42")).lease.token).toBe(2n);
    });
  });

  describe("a batch", () => {
    it("R1 is answered one by one in the order asked", async () => {
      const driver = await openResources(create);
      await driver.held("b");
      await driver.end((await driver.held("d")).lease, "failed");

      const answers = await driver.takeMany(["d", "c", "b", "a"]);

      expect(answers.map((answer) => (answer.status === "held" ? [answer.lease.key, answer.attempt] : answer.status))).toEqual([
        ["d", 2],
        ["c", 1],
        "contended",
        ["a", 1],
      ]);
      expect(await driver.takeMany([])).toEqual([]);
    });

    it("R1 that names a key twice gives it to one, and the other is told how long that one has it", async () => {
      const driver = await openResources(create);
      await driver.end((await driver.held("known")).lease);

      for (const key of ["new", "known"]) {
        const answers = await driver.takeMany([key, key, key], { ttlMs: 10_000 });

        expect(answers.map((answer) => answer.status).toSorted()).toEqual(["contended", "contended", "held"]);
        const hints = answers.flatMap((answer) => (answer.status === "contended" ? [answer.retryAfterMs] : []));
        expect(hints).toEqual([10_000, 10_000]);
      }
    });

    it("S5 finds the holder's own lease behind a stranger's request for it", async () => {
      const driver = await openResources(create);
      const { lease } = await driver.held("42", { holder: "a" });

      const answers = await driver.takeAll([requestFor("42"), requestFor("42", { holder: "a" }), requestFor("42")]);

      expect(answers.map((answer) => answer.status)).toEqual(["contended", "held", "contended"]);
      expect(asHeld(answers[1]).lease).toEqual(lease);
    });
  });
}
