import { describe, expect, it } from "vitest";
import { type ExclaimErrorCode, isExclaimError } from "../../src/errors.ts";
import type { Outcome } from "../../src/settle/outcome.ts";
import { gate, openEngine, TTL_MS } from "./engine-in-memory.ts";

describe("a claim", () => {
  it("hands the handler its row, token, attempt and an open signal", async () => {
    const { vouchers } = openEngine(1);

    const outcome = await vouchers.claim({ claimant: "7", messageId: "m1" }, async (claim) => {
      claim.assertHeld();
      return [claim.row, claim.key, claim.claimant, String(claim.token), claim.attempt, claim.resumed, claim.signal.aborted];
    });

    expect(outcome).toEqual({
      status: "completed",
      result: [{ id: 1, code: "CODE-1", user_id: "7" }, "1", "7", "1", 1, false, false],
    });
  });

  it("S2 replays the stored result and does not run the handler again", async () => {
    const { vouchers, ledger } = openEngine(2);
    await vouchers.claim({ claimant: "7" }, async (claim) => ({ code: claim.row.code }));

    const again = await vouchers.claim({ claimant: "7" }, () => Promise.reject(new Error("The handler ran again.")));

    expect(again).toEqual({ status: "replayed", result: { code: "CODE-1" } });
    expect(ledger.claims()).toHaveLength(1);
  });

  it("runs the handler again under the next token where a replay is to be a rerun", async () => {
    const { vouchers } = openEngine(2);
    await vouchers.claim({ claimant: "7" }, async () => "first");

    const again = await vouchers.claim({ claimant: "7", onReplay: "rerun" }, async (claim) => [claim.key, String(claim.token)]);

    expect(again).toEqual({ status: "completed", result: ["1", "2"] });
  });

  it("S1 is contended while another delivery of its claimant works, with the rest of the lease as the hint", async () => {
    const { vouchers, otherProcess, clock } = openEngine(2, { lock: false });
    const { opened, open } = gate();
    const first = vouchers.claim({ claimant: "7" }, () => opened);
    await clock.advance(500);

    const second = await otherProcess().claim({ claimant: "7" }, async () => {});
    open();

    expect(second).toEqual({ status: "contended", retryAfterMs: TTL_MS - 500 });
    expect((await first).status).toBe("completed");
  });

  it("is empty when no row is free, and taken when the picked row is somebody's", async () => {
    const { vouchers } = openEngine(1);
    await vouchers.claim({ claimant: "7" }, async () => {});

    const empty = await vouchers.claim({ claimant: "8" }, async () => {});
    const taken = await vouchers.claim({ claimant: "8", pick: "1" }, async () => {});

    expect([empty, taken]).toEqual([{ status: "empty" }, { status: "taken" }]);
  });
});

describe("a handler that fails", () => {
  it("keeps the row for the claimant, whose next delivery resumes it at once", async () => {
    const { vouchers } = openEngine(2);
    const error = new Error("mail server down");

    const failed = await vouchers.claim({ claimant: "7" }, () => Promise.reject(error));
    const resumed = await vouchers.claim({ claimant: "7" }, async (claim) => [
      claim.key,
      String(claim.token),
      claim.attempt,
      claim.resumed,
    ]);

    expect(failed).toEqual({ status: "failed", error });
    expect(failed.status === "failed" && failed.error).toBe(error);
    expect(resumed).toEqual({ status: "completed", result: ["1", "2", 2, true] });
  });

  it("gives the row back where onFailure says release", async () => {
    const { vouchers, rows } = openEngine(1);

    await vouchers.claim({ claimant: "7", onFailure: "release" }, () => Promise.reject(new Error("no")));
    const next = await vouchers.claim({ claimant: "8" }, async (claim) => String(claim.token));

    expect(next).toEqual({ status: "completed", result: "2" });
    expect(rows[0]?.user_id).toBe("8");
  });

  it("goes by onGiveUp on the last attempt and for a final error, and keeps the row through a pause", async () => {
    const { vouchers, rows } = openEngine(3);
    const fail = () => Promise.reject(new Error("no"));

    await vouchers.claim({ claimant: "1", onGiveUp: "release", lastAttempt: true }, fail);
    await vouchers.claim({ claimant: "2", onGiveUp: "release", judge: () => "final" }, fail);
    await vouchers.claim(
      { claimant: "3", onGiveUp: "release", onFailure: "release", lastAttempt: true, judge: () => "pause" },
      fail,
    );
    await vouchers.claim({ claimant: "4", onGiveUp: "release" }, fail);

    expect(rows.map((row) => row.user_id)).toEqual(["3", "4", null]);
  });

  it("goes by onFailure where onGiveUp is not set: who gives rows back, gives the last one back too", async () => {
    const { vouchers, rows } = openEngine(2);
    const fail = () => Promise.reject(new Error("no"));

    await vouchers.claim({ claimant: "1", onFailure: "release", lastAttempt: true }, fail);
    await vouchers.claim({ claimant: "2", onFailure: "release", onGiveUp: "keep", lastAttempt: true }, fail);

    expect(rows.map((row) => row.user_id)).toEqual(["2", null]);
  });

  it("leaves a claim alone that it completed before it threw", async () => {
    const { vouchers, ledger } = openEngine(1);

    const outcome = await vouchers.claim({ claimant: "7", onFailure: "release" }, async (claim) => {
      await claim.complete(async () => "done");
      throw new Error("after the fact");
    });

    expect(outcome.status).toBe("failed");
    expect(ledger.claims()[0]).toMatchObject({ status: "completed", result: '"done"' });
  });
});

describe("a handler that ends its claim itself", () => {
  it("is answered with the result it stored, published with it or not at all", async () => {
    const { vouchers, ledger } = openEngine(2);

    const good = await vouchers.claim({ claimant: "7" }, async (claim): Promise<unknown> => {
      await claim.complete(async (tx) => {
        await tx.publish("voucher.assigned", { code: claim.row.code });
        return { code: claim.row.code };
      });
      return "ignored";
    });
    const bad = await vouchers.claim({ claimant: "8" }, async (claim) => {
      await claim.complete(async (tx) => {
        await tx.publish("voucher.assigned", { code: claim.row.code });
        throw new Error("no");
      });
    });

    expect(good).toEqual({ status: "completed", result: { code: "CODE-1" } });
    expect(bad.status).toBe("failed");
    expect(ledger.published.map((message) => message.payload)).toEqual([{ code: "CODE-1" }]);
  });

  it("is waited for when its completion was started and not awaited", async () => {
    const { vouchers, ledger } = openEngine(1);

    const outcome = await vouchers.claim({ claimant: "7" }, async (claim): Promise<unknown> => {
      void claim.complete(async () => "stored");
      return "early";
    });

    expect(outcome).toEqual({ status: "completed", result: "stored" });
    expect(ledger.claims()[0]?.result).toBe('"stored"');
  });

  it("fails with the failure of a completion that it did not await", async () => {
    const { vouchers, ledger } = openEngine(1);
    const error = new Error("no");

    const outcome = await vouchers.claim({ claimant: "7" }, async (claim): Promise<unknown> => {
      void claim.complete(() => Promise.reject(error));
      return "early";
    });

    expect(outcome).toEqual({ status: "failed", error });
    expect(ledger.claims()[0]?.status).toBe("failed");
  });

  it("cannot complete twice, nor work on after a release", async () => {
    const { vouchers } = openEngine(2);

    const twice = await vouchers.claim({ claimant: "7" }, async (claim) => {
      await claim.complete();
      await claim.complete();
    });
    const released = await vouchers.claim({ claimant: "8" }, async (claim) => {
      await claim.release();
      await claim.release();
      await claim.transaction(async () => {});
    });

    expect([codeOf(twice), codeOf(released)]).toEqual(["CLAIM_ENDED", "CLAIM_ENDED"]);
  });

  it("gives the row back by release, and the delivery is done", async () => {
    const { vouchers, rows, ledger } = openEngine(1);

    const outcome = await vouchers.claim({ claimant: "7" }, async (claim) => {
      await claim.release();
      return "not wanted";
    });

    expect(outcome).toEqual({ status: "completed", result: "not wanted", isReleased: true });
    expect(rows[0]?.user_id).toBeNull();
    expect(ledger.claims()[0]?.status).toBe("released");
  });

  it("S5 commits nothing when its result is no JSON, and is not run again for it", async () => {
    const { vouchers, ledger } = openEngine(2);

    const inComplete = await vouchers.claim({ claimant: "7" }, async (claim) => {
      await claim.complete(async (tx) => {
        await tx.publish("voucher.assigned", {});
        return { token: claim.token };
      });
    });
    const returned = await vouchers.claim({ claimant: "8" }, async (claim) => ({ token: claim.token }));

    expect([codeOf(inComplete), codeOf(returned)]).toEqual(["RESULT_NOT_SERIALIZABLE", "RESULT_NOT_SERIALIZABLE"]);
    expect(ledger.published).toEqual([]);
    expect(ledger.claims().map((claim) => claim.status)).toEqual(["failed", "failed"]);
  });
});

describe("giving up a message that no delivery will finish", () => {
  it("releases the row that this very message claimed", async () => {
    const { vouchers, rows } = openEngine(2);
    await vouchers.claim({ claimant: "7", messageId: "m1" }, () => Promise.reject(new Error("no")));
    await vouchers.claim({ claimant: "8", messageId: "m2" }, () => Promise.reject(new Error("no")));

    await vouchers.giveUp({ claimant: "7", messageId: "another", onGiveUp: "release" });
    await vouchers.giveUp({ claimant: "7", messageId: "m1", onGiveUp: "keep" });
    await vouchers.giveUp({ claimant: "8", messageId: "m2", onGiveUp: "release" });
    await vouchers.giveUp({ claimant: "8", messageId: "m2", onGiveUp: "release" });

    expect(rows.map((row) => row.user_id)).toEqual(["7", null]);
  });

  // Planted: no message and a claim without one taken for the same.
  it("leaves a claim alone that was made without a message", async () => {
    const { vouchers, rows } = openEngine(1);
    await vouchers.claim({ claimant: "7" }, () => Promise.reject(new Error("no")));

    await vouchers.giveUp({ claimant: "7", messageId: "", onGiveUp: "release" });

    expect(rows.map((row) => row.user_id)).toEqual(["7"]);
  });

  it("waits for a lease that still lives, and leaves a completed claim alone", async () => {
    const { vouchers, otherProcess, rows, clock } = openEngine(2, { lock: false });
    const never = gate();
    void otherProcess().claim({ claimant: "7", messageId: "m1", maxHoldMs: 1_000 }, () => never.opened);
    await vouchers.claim({ claimant: "8", messageId: "m2" }, async () => {});
    await clock.advance(100);

    const givenUp = vouchers.giveUp({ claimant: "7", messageId: "m1", onGiveUp: "release" });
    await vouchers.giveUp({ claimant: "8", messageId: "m2", onGiveUp: "release" });
    await clock.advance(1_000);
    const early = rows.map((row) => row.user_id);
    await clock.advance(TTL_MS);
    await givenUp;

    expect(early).toEqual(["7", "8"]);
    expect(rows.map((row) => row.user_id)).toEqual([null, "8"]);
  });
});

function codeOf(outcome: Outcome): ExclaimErrorCode | undefined {
  return outcome.status === "failed" && isExclaimError(outcome.error) ? outcome.error.code : undefined;
}
