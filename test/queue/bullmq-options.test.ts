import { describe, expect, it, vi } from "vitest";
import { isExclaimError } from "../../src/errors.ts";
import { type BullmqClaimOptions, type BullmqJob, withClaim } from "../../src/queue/bullmq.ts";
import { type Answer, ScriptedPool, type Voucher } from "./scripted-pool.ts";

// Planted once and seen to fail here: a rest parameter, and a default on the third (B1).

const handler = async (_job: BullmqJob) => {};
const claimant = () => "7";

function options(changed: object = {}): BullmqClaimOptions<BullmqJob, Voucher> {
  return { pool: new ScriptedPool("run"), claimant, ...changed };
}

function jobOf(changed: Partial<BullmqJob> = {}): BullmqJob {
  return { id: "1", attemptsMade: 0, attemptsStarted: 1, opts: {}, moveToDelayed: async () => {}, ...changed };
}

describe("withClaim for BullMQ", () => {
  it("B1 returns a function of exactly three parameters, bound or not", () => {
    const processor = withClaim(handler, options());

    expect(processor.length).toBe(3);
    expect(processor.bind({}).length).toBe(3);
  });

  it.each([
    ["the pool is missing", { pool: undefined }, "pool"],
    ["the claimant is not a function", { claimant: "user_id" }, "claimant"],
    ["the scope is not a function", { scope: { campaign_id: 42 } }, "scope"],
    ["pick is not a function", { pick: "1" }, "pick"],
    ["a rule is unknown", { onContended: { do: "requeue" } }, "onContended.do"],
    ["a rule is a word", { onEmpty: "fail" }, "onEmpty.do"],
    ["a delay is negative", { onContended: { do: "retry", delayMs: -1 } }, "onContended.delayMs"],
    ["a delay is not a number", { onLost: { do: "retry", delayMs: Number.NaN } }, "onLost.delayMs"],
    ["maxDeferrals is not whole", { maxDeferrals: 1.5 }, "maxDeferrals"],
    ["maxHoldMs is zero", { maxHoldMs: 0 }, "maxHoldMs"],
    ["lockBy is unknown", { lockBy: "pool" }, "lockBy"],
    ["onGiveUp is unknown", { onGiveUp: "drop" }, "onGiveUp"],
  ])("refuses at once when %s", (_case, wrong, name) => {
    const wrap = () => withClaim(handler, options(wrong));

    expect(wrap).toThrow(expect.objectContaining({ code: "CONFIG_INVALID", message: expect.stringContaining(name) }));
  });

  it("refuses at once options that come before the handler", () => {
    const wrap = () => withClaim(options() as never, handler as never);

    expect(wrap).toThrow(expect.objectContaining({ code: "CONFIG_INVALID" }));
  });

  it("refuses to watch what is not a worker", () => {
    const processor = withClaim(handler, options());

    expect(() => processor.watch({ id: "1" } as never)).toThrow(expect.objectContaining({ code: "CONFIG_INVALID" }));
  });

  it("hands its claim options to the pool, and none that is not set", async () => {
    const full = new ScriptedPool("run");
    const bare = new ScriptedPool("run");
    const set = { onReplay: "rerun", onFailure: "release", onGiveUp: "release", lockBy: "both", maxHoldMs: 600_000 } as const;

    await withClaim(handler, options({ pool: full, ...set }))(jobOf({ opts: { attempts: 2 } }), "t");
    await withClaim(handler, options({ pool: bare }))(jobOf({ attemptsMade: 1, opts: { attempts: 2 } }), "t");

    expect(full.requests[0]).toMatchObject({ ...set, lastAttempt: false });
    expect(Object.keys(bare.requests[0] ?? {}).sort()).toEqual(["claimant", "judge", "lastAttempt", "messageId", "signal"]);
    expect(bare.requests[0]?.lastAttempt).toBe(true);
  });

  it.each([
    ["a scope that is not there", { scope: () => undefined }, "SCOPE_INVALID"],
    ["a scope function that throws", { scope: () => JSON.parse("{") }, "SCOPE_INVALID"],
    ["a picked row that is not there", { pick: () => undefined }, "PICK_INVALID"],
    ["an empty pick", { pick: () => "" }, "PICK_INVALID"],
    ["a claimant that is a number", { claimant: () => 7 }, "CLAIMANT_MISSING"],
  ])("dead-letters %s instead of claiming from the whole pool", async (_case, wrong, code) => {
    const pool = new ScriptedPool("run");

    const done = withClaim(handler, options({ pool, ...wrong }))(jobOf(), "t");

    const error = await done.catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ name: "UnrecoverableError", code, cause: { code } });
    expect(isExclaimError(error)).toBe(true);
    expect(pool.requests).toEqual([]);
  });

  it("reads a job whose count of pickups was set back as never put off", async () => {
    const rule = vi.fn(() => ({ do: "fail" }) as const);
    const contended: Answer = { status: "contended", retryAfterMs: 0 };
    const processor = withClaim(handler, options({ pool: new ScriptedPool(contended), onContended: rule }));

    await processor(jobOf({ attemptsMade: 3, attemptsStarted: 1 }), "t").catch(() => {});

    expect(rule).toHaveBeenCalledExactlyOnceWith(expect.objectContaining({ deferrals: 0, attemptsMade: 3 }));
  });
});
