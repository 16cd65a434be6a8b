import { describe, expect, it } from "vitest";
import {
  asHeld,
  type CreateResources,
  type Held,
  LAPSE_MS,
  openResources,
  type ResourceDriver,
  requestFor,
  SHORT_TTL_MS,
} from "./fixture.ts";

/** Readers: many at once, and nobody beside them. */
export function sharingRules(create: CreateResources): void {
  const shared = { mode: "shared" } as const;

  describe("sharers", () => {
    it("R7 hold a key together, under one token, each at attempt 1", async () => {
      const driver = await openResources(create);

      const answers = [await driver.held("42", shared), await driver.held("42", shared), await driver.held("42", shared)];

      expect(answers.map(({ lease, attempt, resumed }) => [lease.token, attempt, resumed])).toEqual(
        Array(3).fill([1n, 1, false]),
      );
      expect(new Set(answers.map(({ lease }) => lease.holder)).size).toBe(3);
      expect(await driver.lease("42")).toMatchObject({ status: "shared", sharers: 3 });
    });

    it("R7 of one batch all hold their keys, known and new", async () => {
      const driver = await openResources(create);
      await driver.end((await driver.held("known")).lease);

      const answers = await driver.takeMany(["known", "new", "known", "new", "new"], shared);

      expect(answers.map((answer) => asHeld(answer).lease.token)).toEqual([2n, 1n, 2n, 1n, 1n]);
      expect(await driver.lease("new")).toMatchObject({ sharers: 3 });
    });

    it("R7 keep an exclusive take out until the last of them has ended", async () => {
      const driver = await openResources(create);
      const [a, b] = [await driver.held("42", shared), await driver.held("42", shared)];

      const answers = [await driver.take("42")];
      await driver.end(a.lease);
      answers.push(await driver.take("42"));
      await driver.end(b.lease);
      answers.push(await driver.take("42"));

      expect(answers.map((answer) => answer.status)).toEqual(["contended", "contended", "held"]);
      expect(asHeld(answers[2]).lease.token).toBe(2n);
    });

    it("R7 are kept out by an exclusive lease, with what is left of it as the hint, and join nothing of it", async () => {
      const driver = await openResources(create);
      const sentAtMs = driver.fixture.now();
      const { lease } = await driver.held("42", { ttlMs: 30_000 });

      const answer = await driver.expectHint("42", 30_000, sentAtMs, shared);

      expect(answer.tooEarly).toBe(false);
      expect(await driver.lease("42")).toMatchObject({ status: "held", token: 1n, sharers: 0 });
      await driver.end(lease);
      expect((await driver.held("42", shared)).lease.token).toBe(2n);
    });

    it("R7 take over an exclusive lease that ran out, and its holder is lost", async () => {
      const driver = await openResources(create);
      const crashed = await driver.held("42", { ttlMs: SHORT_TTL_MS });
      await driver.fixture.elapse(LAPSE_MS);

      const reader = await driver.held("42", shared);

      expect(reader.lease.token).toBe(2n);
      expect([await driver.renew(crashed.lease), await driver.end(crashed.lease)]).toEqual(["lost", "lost"]);
    });

    it("R3 make an exclusive take wait for the latest of their leases, exactly", async () => {
      const driver = await openResources(create);
      await driver.held("42", { ...shared, ttlMs: 200 });
      await driver.held("42", { ...shared, ttlMs: 400 });
      await driver.held("42", { ...shared, ttlMs: 100 });

      const { hint, held } = await driver.heldAtTheHint("42");

      expect(hint.tooEarly).toBe(false);
      expect(held.lease.token).toBe(2n);
    });
  });

  describe("a group of sharers", () => {
    it("S3 has the token of the first for as long as one of them lives, and the next group has the next", async () => {
      const driver = await openResources(create);
      const a = await driver.held("42", shared);
      const b = await driver.held("42", shared);
      await driver.end(a.lease);
      const c = await driver.held("42", shared);
      await driver.end(b.lease);
      await driver.end(c.lease, "failed");

      const d = await driver.held("42", shared);

      expect([a, b, c, d].map(({ lease }) => lease.token)).toEqual([1n, 1n, 1n, 2n]);
      expect(await driver.lease("42")).toMatchObject({ sharers: 1 });
    });

    it("R7 changes nothing of the attempts of exclusive takes", async () => {
      const driver = await openResources(create);
      await driver.held("42", { ttlMs: SHORT_TTL_MS });
      await driver.fixture.elapse(LAPSE_MS);
      await driver.end((await driver.held("42", shared)).lease, "completed");
      const second = await driver.held("42");
      await driver.end(second.lease, "completed");
      await driver.end((await driver.held("42", shared)).lease, "failed");

      const third = await driver.held("42");

      expect([second, third].map(({ attempt, resumed }) => [attempt, resumed])).toEqual([
        [2, true],
        [1, false],
      ]);
    });
  });

  describe("one of several sharers", () => {
    it("R7 that crashes counts no more once its own lease is over, the others do", async () => {
      const driver = await openResources(create);
      await driver.held("42", { ...shared, ttlMs: SHORT_TTL_MS });
      const living = await driver.held("42", shared);
      await driver.fixture.elapse(LAPSE_MS);

      const during = await driver.take("42");
      await driver.end(living.lease);
      const after = await driver.held("42");

      expect(during.status).toBe("contended");
      expect(after).toMatchObject({ attempt: 1, resumed: false, lease: { token: 2n } });
    });

    it("R7 is renewed alone", async () => {
      const driver = await openResources(create);
      const a = await driver.held("42", { ...shared, ttlMs: SHORT_TTL_MS });
      await driver.held("42", { ...shared, ttlMs: SHORT_TTL_MS });

      const sentAtMs = driver.fixture.now();
      const renewed = await driver.renew(a.lease, 30_000);
      await driver.fixture.elapse(LAPSE_MS);

      expect(renewed).toBe("done");
      await driver.expectHint("42", 30_000, sentAtMs);
      await driver.end(a.lease);
      expect((await driver.held("42")).lease.token).toBe(2n);
    });

    it("R7 is renewed though its own lease ran out, while nobody took the key", async () => {
      const driver = await openResources(create);
      const late = await driver.held("42", { ...shared, ttlMs: SHORT_TTL_MS });
      await driver.fixture.elapse(LAPSE_MS);

      const renewed = await driver.renew(late.lease);

      expect(renewed).toBe("done");
      expect((await driver.take("42")).status).toBe("contended");
    });

    it("R7 ends alone, again as often as it is told, and is renewed no more", async () => {
      const driver = await openResources(create);
      const [a, b] = [await driver.held("42", shared), await driver.held("42", shared)];

      const answers = [await driver.end(a.lease), await driver.end(a.lease, "failed"), await driver.renew(a.lease)];

      expect(answers).toEqual(["done", "done", "lost"]);
      expect(await driver.lease("42")).toMatchObject({ sharers: 1 });
      expect(await driver.renew(b.lease)).toBe("done");
    });

    it("S5 that asks again is given the same token, and its lease lasts from the second call", async () => {
      const driver = await openResources(create);
      const first = await driver.held("42", { ...shared, holder: "a", ttlMs: SHORT_TTL_MS });

      const sentAtMs = driver.fixture.now();
      const second = await driver.held("42", { ...shared, holder: "a", ttlMs: 30_000 });

      expect(second).toEqual(first);
      expect(await driver.lease("42")).toMatchObject({ sharers: 1, token: 1n });
      await driver.expectHint("42", 30_000, sentAtMs);
    });

    it("S5 that asks again after its lease ran out is given the same token, and others join it", async () => {
      const driver = await openResources(create);
      const first = await driver.held("42", { ...shared, holder: "a", ttlMs: SHORT_TTL_MS });
      await driver.fixture.elapse(LAPSE_MS);

      const answers = await driver.takeAll([requestFor("42", shared), requestFor("42", { ...shared, holder: "a" })]);

      // Whether the stranger came first, and opened the next group, or joined the one revived, they share one token.
      const tokens = answers.filter((answer) => answer.status === "held").map((answer) => answer.lease.token);
      expect(new Set(tokens).size).toBe(1);
      expect(first.lease.token).toBe(1n);
      expect((await driver.take("42")).status).toBe("contended");
    });
  });

  describe("a sharer of an older group", () => {
    for (const [what, next] of [
      ["an exclusive lease", {}],
      ["another group", shared],
    ] as const) {
      it(`S4 can neither end nor renew, and is not in ${what} that came after`, async () => {
        const driver = await openResources(create);
        const crashed = await crash(driver);
        const newest = await driver.held("42", next);
        const before = await driver.fixture.leases();

        const answers = [await driver.renew(crashed.lease), await driver.end(crashed.lease)];

        expect(answers).toEqual(["lost", "lost"]);
        expect(await driver.fixture.leases()).toEqual(before);
        await driver.end(newest.lease);
        expect((await driver.held("42")).lease.token).toBe(3n);
      });
    }
  });

  describe("a shared take with spacing", () => {
    it("R7 is refused alone with CONFIG_INVALID: sharers begin and end whenever they like", async () => {
      const driver = await openResources(create);
      const spaced = [
        requestFor("a", { ...shared, spacing: { from: "start", minIntervalMs: 10 } }),
        requestFor("b", shared),
        requestFor("c", { ...shared, spacing: { from: "beat", intervalMs: 10 } }),
        requestFor("d"),
        requestFor("e", { ...shared, spacing: { from: "end", minIntervalMs: 10 } }),
      ];

      const answers = await driver.takeAll(spaced);

      expect(answers.map((answer) => (answer.status === "refused" ? answer.error.code : answer.status))).toEqual([
        "CONFIG_INVALID",
        "held",
        "CONFIG_INVALID",
        "held",
        "CONFIG_INVALID",
      ]);
      expect((await driver.fixture.leases()).map(({ key }) => key).toSorted()).toEqual(["b", "d"]);
    });
  });

  describe("a batch of both modes", () => {
    it("R7 never gives a key to both, and answers in the order asked", async () => {
      const driver = await openResources(create);
      await driver.held("read", shared);
      await driver.held("written");

      const answers = await driver.takeAll([
        requestFor("read", shared),
        requestFor("read"),
        requestFor("written", shared),
        requestFor("new", shared),
        requestFor("new"),
        requestFor("other"),
      ]);

      const statuses = answers.map((answer) => answer.status);
      expect([statuses[0], statuses[1], statuses[2], statuses[5]]).toEqual(["held", "contended", "contended", "held"]);
      expect([statuses[3], statuses[4]].toSorted()).toEqual(["contended", "held"]);
      expect(asHeld(answers[5]).lease.key).toBe("other");
    });
  });
}

/** A sharer whose lease is over, and which nobody ended. */
async function crash(driver: ResourceDriver): Promise<Held> {
  const crashed = await driver.held("42", { mode: "shared", ttlMs: SHORT_TTL_MS });
  await driver.fixture.elapse(LAPSE_MS);
  return crashed;
}
