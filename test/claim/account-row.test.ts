import { describe, expect, it } from "vitest";
import type { MessageEnd } from "../../src/claim/row-note.ts";
import { ExclaimError } from "../../src/errors.ts";
import { settle } from "../support/manual-clock.ts";
import { type EngineInMemory, openEngine } from "./engine-in-memory.ts";

const UNREACHABLE = new ExclaimError("DATABASE_UNREACHABLE", "no answer");
const OF_ROW = { importId: "spring", rowKey: "7", pool: "voucher_item" };
const MESSAGE = "imp-spring-7";

const completed: MessageEnd = { status: "completed", resourceId: "1" };
const replayed: MessageEnd = { status: "replayed" };
const failed: MessageEnd = { status: "given-up", error: new Error("no such address") };

describe("the row of an import", () => {
  it("is claimed, with its row, when its message's claim was completed, and nothing more is asked for that", async () => {
    const { vouchers, settled, asked } = open();

    await vouchers.accountRow({ messageId: MESSAGE, claimant: "7", end: completed });

    expect(settled).toEqual([[{ ...OF_ROW, state: "claimed", resourceId: "1", code: null, reason: null }]]);
    expect(asked).toEqual([]);
  });

  it("is claimed when its message completed its claim in an earlier delivery, which could not tell", async () => {
    const { vouchers, settled } = open();
    await vouchers.claim({ claimant: "7", messageId: MESSAGE }, async () => {});

    // Planted: every replay told as one; `replayed` here.
    await vouchers.accountRow({ messageId: MESSAGE, claimant: "7", end: replayed });

    expect(settled).toMatchObject([[{ ...OF_ROW, state: "claimed", resourceId: "1" }]]);
  });

  it("is claimed when its handler threw after it had completed its claim, though the message is given up", async () => {
    const { vouchers, settled } = open();
    await vouchers.claim({ claimant: "7", messageId: MESSAGE }, async (claim) => {
      await claim.complete();
      throw new Error("no such address");
    });

    await vouchers.accountRow({ messageId: MESSAGE, claimant: "7", end: failed });

    expect(settled).toMatchObject([[{ state: "claimed", resourceId: "1", code: null, reason: null }]]);
  });

  it("is replayed, with the row its claimant had, when another message completed the claim", async () => {
    const { vouchers, settled } = open();
    await vouchers.claim({ claimant: "7", messageId: "imp-winter-7" }, async () => {});

    await vouchers.accountRow({ messageId: MESSAGE, claimant: "7", end: replayed });

    expect(settled).toEqual([[{ ...OF_ROW, state: "replayed", resourceId: "1", code: null, reason: null }]]);
  });

  it("is replayed without a row when the claim is gone by now", async () => {
    const { vouchers, settled } = open();

    await vouchers.accountRow({ messageId: MESSAGE, claimant: "7", end: replayed });

    expect(settled).toMatchObject([[{ state: "replayed", resourceId: null }]]);
  });

  it("is refused, with the reason, when there was no row for it, and nothing more is asked for that", async () => {
    const { vouchers, settled, asked } = open();
    const error = new ExclaimError("REFUSED", "no vouchers left\0");

    await vouchers.accountRow({ messageId: MESSAGE, claimant: "7", end: { status: "given-up", error, hasNoClaim: true } });

    expect(settled).toEqual([[{ ...OF_ROW, state: "refused", resourceId: null, code: "REFUSED", reason: "no vouchers left" }]]);
    expect(asked).toEqual([]);
  });

  it.each<[string, unknown, string, string]>([
    ["what a handler threw", new Error("no such address"), "HANDLER_ERROR", "no such address"],
    ["an error of exclaim", new ExclaimError("FENCED", "a newer token"), "FENCED", "a newer token"],
    ["undefined", undefined, "HANDLER_ERROR", "undefined"],
    ["too long a text", "x".repeat(2_000), "HANDLER_ERROR", "x".repeat(1_000)],
  ])("is dead-lettered, with code and reason, when its message was given up for %s", async (_what, error, code, reason) => {
    const { vouchers, settled } = open();
    // Failed, and its row is kept: that is no row that its claimant got.
    await vouchers.claim({ claimant: "7", messageId: MESSAGE }, () => Promise.reject(error));

    await vouchers.accountRow({ messageId: MESSAGE, claimant: "7", end: { status: "given-up", error } });

    expect(settled).toEqual([[{ ...OF_ROW, state: "dead-lettered", resourceId: null, code, reason }]]);
  });

  it.each<[string, { readonly claimant?: string; readonly scope?: object }]>([
    ["names nobody", {}],
    ["names a claimant that cannot be", { claimant: "undefined" }],
    ["names a scope that cannot be", { claimant: "7", scope: { nowhere: 1 } }],
  ])("is dead-lettered when its message %s", async (_what, named) => {
    const { vouchers, settled } = open();

    await vouchers.accountRow({ messageId: MESSAGE, ...(named as { claimant?: string }), end: failed });

    expect(settled).toMatchObject([[{ state: "dead-lettered", code: "HANDLER_ERROR" }]]);
  });

  it("is looked for in the subset of the pool that its message claimed from", async () => {
    const { vouchers, settled, asked } = open();

    await vouchers.accountRow({ messageId: MESSAGE, claimant: "7", scope: { code: "CODE-1" }, end: replayed });

    expect(asked).toEqual([{ code: "CODE-1" }]);
    expect(settled).toHaveLength(1);
  });

  it("of a resource's message is accounted under the resource's name, with the key", async () => {
    const { engine, settled } = open();
    const orders = engine.resource("order");

    await orders.accountRow({ messageId: MESSAGE, claimant: "42", end: { status: "completed", resourceId: "42" } });
    await orders.accountRow({ messageId: MESSAGE, claimant: "42", end: failed });

    expect(settled).toMatchObject([
      [{ pool: "order", state: "claimed", resourceId: "42" }],
      [{ pool: "order", state: "dead-lettered", resourceId: null, reason: "no such address" }],
    ]);
  });
});

describe("the end of a message of no import", () => {
  it.each(["", "42", "imp-", "imp-spring", "import-spring-7"])("is nobody's to account: %j", async (messageId) => {
    const { vouchers, settled, asked } = open();

    await vouchers.accountRow({ messageId, claimant: "7", end: replayed });

    expect([settled, asked]).toEqual([[], []]);
  });
});

describe("rows that are told together", () => {
  // Planted: settle() called for each of them alone; this test failed with 51 calls.
  it("share a call, whatever they claim", async () => {
    const { vouchers, engine, settled } = open();
    const ends = Array.from({ length: 50 }, (_, index) =>
      vouchers.accountRow({ messageId: `imp-spring-${index}`, end: completed }),
    );

    await Promise.all([...ends, engine.resource("order").accountRow({ messageId: MESSAGE, end: completed })]);

    expect(settled.map((rows) => rows.length)).toEqual([51]);
  });

  it("are told after close() too, whose last messages are settled then", async () => {
    const { vouchers, engine, settled } = open();
    await engine.close(0);

    await vouchers.accountRow({ messageId: MESSAGE, claimant: "7", end: completed });

    expect(settled).toHaveLength(1);
  });
});

describe("a database that does not answer what became of a row", () => {
  it("is asked again", async () => {
    const { vouchers, settled, clock } = open(async () => {
      if (settled.length < 3) throw UNREACHABLE;
    });

    const telling = vouchers.accountRow({ messageId: MESSAGE, end: completed });
    await settle();
    await clock.advance(2_000);
    await telling;

    expect(settled).toHaveLength(3);
  });

  it("is DATABASE_UNREACHABLE in about a second when it stays away", async () => {
    const { vouchers, clock } = open(() => Promise.reject(UNREACHABLE));

    const telling = vouchers.accountRow({ messageId: MESSAGE, end: completed }).catch((error: unknown) => error);
    await clock.advance(1_000);

    expect(await telling).toBe(UNREACHABLE);
    expect(clock.pendingTimers).toBe(0);
  });

  // Planted: a lookup that failed taken for none: the row was told as replayed.
  it("is DATABASE_UNREACHABLE too when the claim cannot be looked up, and nothing is told", async () => {
    const { vouchers, clock, settled } = open(undefined, () => Promise.reject(UNREACHABLE));

    const telling = vouchers.accountRow({ messageId: MESSAGE, claimant: "7", end: replayed }).catch((error: unknown) => error);
    await clock.advance(1_000);

    expect(await telling).toBe(UNREACHABLE);
    expect(settled).toEqual([]);
  });
});

/** An engine in memory, with the scopes in which the ledger was asked for a claim, and `find` in place of its own answer. */
function open(settling?: () => Promise<void>, find?: () => Promise<never>): EngineInMemory & { readonly asked: unknown[] } {
  const asked: unknown[] = [];
  const opened = openEngine(2, settling === undefined ? {} : { settle: settling });
  const { ledger } = opened;
  const own = ledger.find.bind(ledger);
  ledger.find = (pool, scope, claimant) => {
    asked.push(scope);
    return find?.() ?? own(pool, scope, claimant);
  };
  return { ...opened, asked };
}
