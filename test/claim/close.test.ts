import { describe, expect, it } from "vitest";
import { isExclaimError } from "../../src/errors.ts";
import type { Outcome } from "../../src/settle/outcome.ts";
import { settle } from "../support/manual-clock.ts";
import { gate, openEngine } from "./engine-in-memory.ts";

describe("closing", () => {
  it("lets running handlers finish within the drain and takes no new claims", async () => {
    const { vouchers, engine, ledger } = openEngine(2);
    const { opened, open } = gate();
    const running = vouchers.claim({ claimant: "7" }, () => opened);
    await settle();

    const closing = engine.close(10_000);
    const refused = await vouchers.claim({ claimant: "8" }, async () => {});
    open();
    await closing;

    expect((await running).status).toBe("completed");
    expect(codeOf(refused)).toBe("CLOSED");
    expect(ledger.claims().map((claim) => claim.status)).toEqual(["completed"]);
  });

  it("aborts what outlasts the drain, and completes work that is finished all the same", async () => {
    const { vouchers, engine, clock, ledger } = openEngine(2);
    const aborted = gate();
    const obedient = vouchers.claim({ claimant: "7" }, async (claim) => {
      claim.signal.addEventListener("abort", () => aborted.open());
      await aborted.opened;
      throw new Error("stopped half-way");
    });
    const diligent = vouchers.claim({ claimant: "8" }, async () => {
      await aborted.opened;
      return "finished";
    });
    await settle();

    const closing = engine.close(1_000);
    await clock.advance(1_000);
    await closing;

    expect(codeOf(await obedient)).toBe("CLOSED");
    expect(await diligent).toEqual({ status: "completed", result: "finished" });
    expect(ledger.claims().map((claim) => claim.status)).toEqual(["failed", "completed"]);
  });

  // Planted: nobody told after the drain; this test failed.
  it("tells a handler to stop when it outlasts the drain, and not before, and then waits a last moment for it", async () => {
    const { vouchers, engine, clock } = openEngine(1);
    const { opened, open } = gate();
    let signal: AbortSignal | undefined;
    const working = vouchers.claim({ claimant: "7" }, async (claim) => {
      signal = claim.signal;
      await opened;
      return "finished";
    });
    await settle();

    const closing = engine.close(1_000);
    await clock.advance(999);
    const before = signal?.aborted;
    await clock.advance(1);
    const then = signal?.aborted;
    open();
    await closing;

    expect([before, then]).toEqual([false, true]);
    expect(signal?.reason).toMatchObject({ code: "CLOSED" });
    expect(await working).toEqual({ status: "completed", result: "finished" });
  });

  it("ends the lease of a handler that never ends, so that another process goes on at once", async () => {
    const { vouchers, otherProcess, engine, clock } = openEngine(1);
    const never = gate();
    let late: string | undefined;
    const stubborn = vouchers.claim({ claimant: "7" }, async (claim) => {
      await never.opened;
      late = await claim.complete(async () => "too late");
    });
    await settle();

    const closing = engine.close(0);
    await clock.advance(3_000);
    await closing;
    const next = await otherProcess().claim({ claimant: "7" }, async (claim) => [claim.key, String(claim.token)]);
    never.open();

    expect(next).toEqual({ status: "completed", result: ["1", "2"] });
    expect(codeOf(await stubborn)).toBe("CLOSED");
    expect(late).toBeUndefined();
  });

  it("can be called twice, and leaves no timer behind", async () => {
    const { vouchers, engine, clock } = openEngine(1);
    await vouchers.claim({ claimant: "7" }, async () => {});

    await Promise.all([engine.close(1_000), engine.close(0)]);

    expect(clock.pendingTimers).toBe(0);
  });
});

function codeOf(outcome: Outcome): string | undefined {
  return outcome.status === "failed" && isExclaimError(outcome.error) ? outcome.error.code : undefined;
}
