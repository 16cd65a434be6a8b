import { describe, expect, it } from "vitest";
import { ExclaimError, isExclaimError } from "../../src/errors.ts";
import type { MemoryLedger } from "../../src/ledger/memory.ts";
import type { Outcome } from "../../src/settle/outcome.ts";
import { settle } from "../support/manual-clock.ts";
import { gate, openEngine, TTL_MS, thrownCode } from "./engine-in-memory.ts";
import { replacing } from "./replacing.ts";

const UNREACHABLE = new ExclaimError("DATABASE_UNREACHABLE", "no answer");

describe("a claim that its handler has ended", () => {
  // Planted: renewals that go on after complete(); this test failed, the ledger called the completed claim lost.
  it("is renewed no more, so that a handler that goes on after complete() is not told it was lost", async () => {
    const { vouchers, clock, events } = openEngine(1);
    const { opened, open } = gate();
    const lost: unknown[] = [];
    events.on("claim:lost", (event) => lost.push(event));
    let aborted: boolean | undefined;
    const working = vouchers.claim({ claimant: "7" }, async (claim) => {
      await claim.complete(async () => "stored");
      await opened;
      aborted = claim.signal.aborted;
    });

    await clock.advance(TTL_MS * 3);
    open();

    expect(await working).toEqual({ status: "completed", result: "stored" });
    expect([aborted, lost]).toEqual([false, []]);
  });

  it("is not completed behind its back when a completion it did not await has failed", async () => {
    const { vouchers, ledger } = openEngine(1);
    const error = new Error("no");

    const outcome = await vouchers.claim({ claimant: "7" }, async (claim): Promise<unknown> => {
      void claim.complete(() => Promise.reject(error));
      await settle();
      return "early";
    });

    expect(outcome).toEqual({ status: "failed", error });
    expect(ledger.claims()[0]?.status).toBe("failed");
  });

  it("can be completed by a second try after the first was rolled back", async () => {
    const { vouchers } = openEngine(1);

    const outcome = await vouchers.claim({ claimant: "7" }, async (claim): Promise<void> => {
      await claim.complete(() => Promise.reject(new Error("no"))).catch(() => {});
      await claim.complete(async () => "second");
    });

    expect(outcome).toEqual({ status: "completed", result: "second" });
  });
});

describe("a handler that failed", () => {
  // Planted: the claim left open after the handler's error; this test failed, assertHeld() passed under another's token.
  it("S4 leaves nothing that may go on: what of it still runs is aborted and can assert and write nothing", async () => {
    const { vouchers, otherProcess, ledger } = openEngine(1, { lock: false });
    const { opened, open } = gate();
    const seen: unknown[] = [];
    let lateWork: Promise<void> | undefined;

    await vouchers.claim({ claimant: "7" }, async (claim) => {
      lateWork = opened.then(async () => {
        seen.push(
          claim.signal.aborted,
          thrownCode(() => claim.assertHeld()),
        );
        await claim.transaction(async (tx) => tx.publish("voucher.assigned", {})).catch((error: unknown) => seen.push(error));
      });
      throw new Error("one of two went wrong");
    });
    await otherProcess().claim({ claimant: "7" }, async () => {});
    open();
    await lateWork;

    expect(seen).toEqual([true, "CLAIM_ENDED", expect.objectContaining({ code: "CLAIM_ENDED" })]);
    expect(ledger.published).toEqual([]);
  });

  // Planted: a fenced claim left trusted; this test failed, assertHeld() passed beside the new holder.
  it("S4 that was fenced leaves nothing that takes its claim for trusted", async () => {
    const { vouchers } = openEngine(1, {
      lock: false,
      ledger: replacing({ transact: () => Promise.reject(new ExclaimError("FENCED", "a newer token exists")) }),
    });
    const { opened, open } = gate();
    const seen: unknown[] = [];
    let lateWork: Promise<void> | undefined;

    const outcome = await vouchers.claim({ claimant: "7" }, async (claim) => {
      lateWork = opened.then(() => {
        seen.push(
          claim.signal.aborted,
          thrownCode(() => claim.assertHeld()),
        );
      });
      await claim.complete(async () => "never");
    });
    open();
    await lateWork;

    expect(outcome.status === "lost" && outcome.error.code).toBe("FENCED");
    expect(seen).toEqual([true, "FENCED"]);
  });

  it("of a lost database is lost and not failed: its message comes back, a bounded number of times", async () => {
    const { vouchers } = openEngine(1);

    const outcome = await vouchers.claim({ claimant: "7", onGiveUp: "release", lastAttempt: true }, () =>
      Promise.reject(UNREACHABLE),
    );

    expect(outcome).toEqual({ status: "lost", error: UNREACHABLE });
  });

  // Planted: the release tried once; this test failed, the row stayed with its claimant for ever.
  it("gives its row back once the database can be reached again", async () => {
    let isAway = true;
    const { vouchers, clock, rows, events } = openEngine(1, {
      lock: false,
      ledger: replacing((inner: MemoryLedger) => ({
        release: (pool, claims) => (isAway ? Promise.reject(UNREACHABLE) : inner.release(pool, claims)),
      })),
    });
    const told: string[] = [];
    events.on("background:failed", ({ what }) => told.push(what));
    const ending = vouchers.claim({ claimant: "7", onGiveUp: "release", lastAttempt: true }, () =>
      Promise.reject(new Error("no")),
    );

    await clock.advance(10_000);
    const outcome = await ending;
    isAway = false;
    await clock.advance(60_000);

    expect(outcome.status).toBe("failed");
    expect(told.length).toBeGreaterThan(1);
    expect(rows[0]?.user_id).toBeNull();
  });
});

describe("a delivery that is on its way when handlers are told to stop", () => {
  it("starts no handler, and leaves its row to be resumed at once", async () => {
    const { opened, open } = gate();
    const { vouchers, otherProcess, engine, clock } = openEngine(1, {
      lock: false,
      ledger: replacing((inner: MemoryLedger) => ({
        async claim(batch) {
          await opened;
          return inner.claim(batch);
        },
      })),
    });
    let runs = 0;
    const underWay = vouchers.claim({ claimant: "7" }, async () => {
      runs += 1;
    });
    await settle();

    const closing = engine.close(100);
    await clock.advance(100);
    open();
    const outcome = await underWay;
    await closing;
    const next = await otherProcess().claim({ claimant: "7" }, async (claim) => claim.resumed);

    expect(outcomeCode(outcome)).toBe("CLOSED");
    expect(runs).toBe(0);
    expect(next).toEqual({ status: "completed", result: true });
  });
});

function outcomeCode(outcome: Outcome): string | undefined {
  return outcome.status === "failed" && isExclaimError(outcome.error) ? outcome.error.code : undefined;
}
