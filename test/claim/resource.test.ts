import { describe, expect, it } from "vitest";
import { ExclaimError, isExclaimError } from "../../src/errors.ts";
import type { Outcome } from "../../src/settle/outcome.ts";
import { gate, openEngine, TTL_MS } from "./engine-in-memory.ts";

const never = () => Promise.reject(new Error("The handler ran."));

describe("a claim of a named resource", () => {
  it("hands the handler its key, token, attempt and an open signal, and keeps no result", async () => {
    const { engine } = openEngine(0);
    const orders = engine.resource("order");

    const outcomes = [
      await orders.claim({ key: "42" }, async (claim) => {
        claim.assertHeld();
        return [claim.key, claim.row, String(claim.token), claim.attempt, claim.resumed, claim.signal.aborted];
      }),
      await orders.claim({ key: "42" }, async (claim) => String(claim.token)),
    ];

    expect(outcomes).toEqual([
      { status: "completed", result: ["42", undefined, "1", 1, false, false] },
      { status: "completed", result: "2" },
    ]);
  });

  // Planted: the lease not taken in the ledger; this test failed without a lock.
  it.each([
    ["an outer lock", undefined],
    ["the ledger alone", false as const],
  ])("lets one delivery at a time work on a key, with %s, and others on other keys", async (_what, lock) => {
    const { engine, otherEngine } = openEngine(0, lock === undefined ? {} : { lock });
    const { opened, open } = gate();
    const first = engine.resource("order").claim({ key: "42" }, () => opened);

    const others = await Promise.all([
      otherEngine().resource("order").claim({ key: "42" }, never),
      otherEngine()
        .resource("order")
        .claim({ key: "43" }, async () => "43"),
      otherEngine()
        .resource("invoice")
        .claim({ key: "42" }, async () => "invoice"),
    ]);
    open();

    expect(others).toEqual([
      { status: "contended", retryAfterMs: TTL_MS },
      { status: "completed", result: "43" },
      { status: "completed", result: "invoice" },
    ]);
    expect((await first).status).toBe("completed");
  });

  it("is resumed as a further attempt after a failure, and starts anew after a success", async () => {
    const { engine } = openEngine(0);
    const orders = engine.resource("order");
    const seen: unknown[] = [];
    const look = async (claim: { attempt: number; resumed: boolean }) => void seen.push([claim.attempt, claim.resumed]);
    const failing = async (claim: { attempt: number; resumed: boolean }) => {
      await look(claim);
      throw new Error("no");
    };

    await orders.claim({ key: "42" }, failing);
    await orders.claim({ key: "42" }, failing);
    await orders.claim({ key: "42" }, look);
    await orders.claim({ key: "42" }, look);

    expect(seen).toEqual([
      [1, false],
      [2, true],
      [3, true],
      [1, false],
    ]);
  });

  it("S4 is lost when another process took the key over, and can write nothing after that", async () => {
    const { engine, otherEngine, clock } = openEngine(0, { lock: false });
    const { opened, open } = gate();
    const first = engine.resource("order").claim({ key: "42" }, async (claim) => {
      await opened;
      await claim.transaction(async () => {});
    });
    await clock.advance(10);
    clock.stall(TTL_MS + 1);

    const second = await otherEngine()
      .resource("order")
      .claim({ key: "42" }, async (claim) => [String(claim.token), claim.resumed]);
    open();

    expect(second).toEqual({ status: "completed", result: ["2", true] });
    expect([(await first).status, codeOf(await first)]).toEqual(["lost", "LEASE_LOST"]);
  });

  it("S4 commits through complete() once, and the key is free then", async () => {
    const { engine, resources } = openEngine(0);
    const orders = engine.resource("order");

    const outcome = await orders.claim({ key: "42" }, async (claim) =>
      claim.complete(async (tx) => {
        await tx.publish("order.shipped", { order: claim.key });
        return String(tx.token);
      }),
    );

    expect(outcome).toEqual({ status: "completed", result: "1" });
    expect(resources.leases()).toMatchObject([{ key: "42", token: 1n, status: "completed" }]);
    expect(resources.outbox.published).toMatchObject([{ topic: "order.shipped" }]);
  });

  it("renews its lease while the handler runs, and keeps others out for five ttls", async () => {
    const { engine, otherEngine, clock } = openEngine(0, { lock: false });
    const { opened, open } = gate();
    const long = engine.resource("order").claim({ key: "42" }, () => opened);

    await clock.advance(TTL_MS * 5);
    const second = await otherEngine().resource("order").claim({ key: "42" }, never);
    open();

    expect(second.status).toBe("contended");
    expect((await long).status).toBe("completed");
  });

  it("waits for the holder as long as it is told to, and no longer", async () => {
    const { engine, otherEngine, clock } = openEngine(0);
    const { opened, open } = gate();
    const holder = engine.resource("order").claim({ key: "42" }, () => opened);
    await clock.advance(1);
    const others = otherEngine().resource("order");

    const inVain = others.claim({ key: "42", waitMs: 1_000 }, never);
    await clock.advance(1_000);
    const patient = others.claim({ key: "42", waitMs: 60_000 }, async (claim) => String(claim.token));
    await clock.advance(500);
    open();
    await holder;
    await clock.advance(TTL_MS);

    expect((await inVain).status).toBe("contended");
    expect(await patient).toEqual({ status: "completed", result: "2" });
  });

  it("stops waiting when its caller aborts, and when the engine closes", async () => {
    const { engine, clock } = openEngine(0);
    const { opened, open } = gate();
    const orders = engine.resource("order");
    const holder = orders.claim({ key: "42" }, () => opened);
    const caller = new AbortController();
    await clock.advance(1);

    const aborted = orders.claim({ key: "42", waitMs: 60_000, signal: caller.signal }, never);
    const closed = orders.claim({ key: "42", waitMs: 60_000 }, never);
    await clock.advance(1);
    caller.abort();
    const closing = engine.close(1_000);
    open();
    await clock.advance(10);

    expect([codeOf(await aborted), codeOf(await closed)]).toEqual(["ABORTED", "CLOSED"]);
    expect((await holder).status).toBe("completed");
    await closing;
  });

  // Planted: the handler begun all the same; this test failed.
  it("starts no handler when its caller aborted while the key was taken", async () => {
    const { engine, clock, resources } = openEngine(0);
    const { opened, open } = gate();
    const take = resources.take.bind(resources);
    resources.take = async (batch) => {
      await opened;
      return take(batch);
    };
    const caller = new AbortController();
    let hasRun = false;
    const claim = engine.resource("order").claim({ key: "42", signal: caller.signal }, async () => {
      hasRun = true;
    });
    await clock.advance(1);

    caller.abort();
    open();
    const outcome = await claim;

    expect([outcome.status, codeOf(outcome), hasRun]).toEqual(["failed", "ABORTED", false]);
    expect(resources.leases()).toMatchObject([{ status: "failed" }]);
  });

  // Planted: the code alone compared; the outer claim was lost.
  it("is not lost because another claim, made inside its handler, was refused", async () => {
    const { engine } = openEngine(0);
    const foreign = new ExclaimError("FENCED", "of another claim");

    const outcome = await engine.resource("order").claim({ key: "42" }, async () => {
      throw foreign;
    });

    expect(outcome).toEqual({ status: "failed", error: foreign });
  });

  // Planted: shared taken for exclusive in the outer lock; this test failed.
  it("in shared mode lets readers work side by side and keeps a writer out", async () => {
    const { engine, otherEngine, clock } = openEngine(0);
    const { opened, open } = gate();
    const readers = [engine, otherEngine()].map((one) =>
      one.resource("price list").claim({ key: "42", mode: "shared" }, async (claim) => {
        await opened;
        return String(claim.token);
      }),
    );
    await clock.advance(1);

    const writer = await otherEngine().resource("price list").claim({ key: "42" }, never);
    open();
    const read = await Promise.all(readers);
    const after = await engine.resource("price list").claim({ key: "42" }, async (claim) => String(claim.token));

    expect(writer.status).toBe("contended");
    expect(read).toEqual([
      { status: "completed", result: "1" },
      { status: "completed", result: "1" },
    ]);
    expect(after).toEqual({ status: "completed", result: "2" });
  });

  it.each([
    ["no key", { key: "" }, "KEY_MISSING"],
    ["a number for a key", { key: 7 as unknown as string }, "KEY_MISSING"],
    ["the text of a missing key", { key: "undefined" }, "KEY_MISSING"],
    ["a key that is too long", { key: "k".repeat(1_025) }, "KEY_INVALID"],
    ["a key with a NUL", { key: "a\0b" }, "KEY_INVALID"],
    ["half a character", { key: "\ud800" }, "KEY_INVALID"],
    ["an unknown mode", { key: "1", mode: "any" as unknown as "shared" }, "CONFIG_INVALID"],
    ["an interval of zero", { key: "1", minIntervalMs: 0 }, "CONFIG_INVALID"],
    ["an interval that is no number", { key: "1", minIntervalMs: Number.NaN }, "CONFIG_INVALID"],
    ["an interval from the middle", { key: "1", minIntervalMs: 1, intervalFrom: "middle" as "start" }, "CONFIG_INVALID"],
    ["an interval in shared mode", { key: "1", minIntervalMs: 1, mode: "shared" as const }, "CONFIG_INVALID"],
    ["a wait without end", { key: "1", waitMs: Number.POSITIVE_INFINITY }, "CONFIG_INVALID"],
    ["a hold of zero", { key: "1", maxHoldMs: 0 }, "CONFIG_INVALID"],
  ])("refuses %s", async (_what, request, code) => {
    const outcome = await openEngine(0).engine.resource("order").claim(request, never);

    expect([outcome.status, codeOf(outcome)]).toEqual(["failed", code]);
  });

  it("refuses a resource without a name", () => {
    const { engine } = openEngine(0);

    expect(() => engine.resource("")).toThrow(expect.objectContaining({ code: "CONFIG_INVALID" }));
    expect(() => engine.resource("n".repeat(257))).toThrow(expect.objectContaining({ code: "CONFIG_INVALID" }));
  });
});

describe("a minimum interval", () => {
  // Planted: the interval counted from the end; not kept after a crash: each time a test of these failed.
  it("lies between two starts, and the hint says when exactly it is over", async () => {
    const { engine, otherEngine, clock } = openEngine(0);
    await engine.resource("report").claim({ key: "daily", minIntervalMs: 10_000 }, async () => {});
    await clock.advance(2_500);

    const early = await otherEngine().resource("report").claim({ key: "daily", minIntervalMs: 10_000 }, never);
    await clock.advance(7_499);
    const stillEarly = await otherEngine().resource("report").claim({ key: "daily" }, never);
    await clock.advance(1);
    const onTime = await otherEngine()
      .resource("report")
      .claim({ key: "daily" }, async () => "ran");

    expect(early).toEqual({ status: "contended", retryAfterMs: 7_500, tooEarly: true });
    expect(stillEarly).toEqual({ status: "contended", retryAfterMs: 1, tooEarly: true });
    expect(onTime).toEqual({ status: "completed", result: "ran" });
  });

  it("counted from the end begins when the work is done", async () => {
    const { engine, clock } = openEngine(0);
    const { opened, open } = gate();
    const spaced = { key: "daily", minIntervalMs: 10_000, intervalFrom: "end" } as const;
    const first = engine.resource("report").claim(spaced, () => opened);
    await clock.advance(25_000);
    open();
    await first;

    const early = await engine.resource("report").claim(spaced, never);

    expect(early).toEqual({ status: "contended", retryAfterMs: 10_000, tooEarly: true });
  });

  it("is kept when the holder dies, whatever its ttl", async () => {
    const { engine, otherEngine, clock } = openEngine(0, { lock: false });
    // A process that never comes back: it neither renews nor ends, since its clock stands.
    void engine.resource("report").claim({ key: "daily", minIntervalMs: 10_000 }, () => new Promise(() => {}));
    await clock.advance(0);
    clock.stall(TTL_MS + 1);

    const early = await otherEngine().resource("report").claim({ key: "daily" }, never);
    clock.stall(10_000 - TTL_MS - 1);
    const onTime = await otherEngine()
      .resource("report")
      .claim({ key: "daily" }, async (claim) => claim.resumed);

    expect(early).toEqual({ status: "contended", retryAfterMs: 10_000 - TTL_MS - 1, tooEarly: true });
    expect(onTime).toEqual({ status: "completed", result: true });
  });

  it("lets a caller who waits start at that very moment, and one that cannot wait so long not wait at all", async () => {
    const { engine, clock } = openEngine(0);
    const reports = engine.resource("report");
    await reports.claim({ key: "daily", minIntervalMs: 10_000 }, async () => {});
    const startedAtMs = clock.now();

    const hasty = await reports.claim({ key: "daily", waitMs: 9_999 }, never);
    let ranAtMs = 0;
    const patient = reports.claim({ key: "daily", waitMs: 10_001 }, async () => {
      ranAtMs = clock.now();
    });
    await clock.advance(10_001);

    expect(hasty).toEqual({ status: "contended", retryAfterMs: 10_000, tooEarly: true });
    expect((await patient).status).toBe("completed");
    expect(ranAtMs - startedAtMs).toBe(10_000);
  });
});

function codeOf(outcome: Outcome): string | undefined {
  return "error" in outcome && isExclaimError(outcome.error) ? outcome.error.code : undefined;
}
