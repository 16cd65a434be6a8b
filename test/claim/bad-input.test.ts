import { describe, expect, it } from "vitest";
import { createExclaim } from "../../src/claim/create-exclaim.ts";
import type { PoolClaimRequest } from "../../src/claim/pool.ts";
import { type ExclaimErrorCode, isExclaimError } from "../../src/errors.ts";
import type { Scope } from "../../src/ledger/pool-definition.ts";
import type { Outcome } from "../../src/settle/outcome.ts";
import { openEngine } from "./engine-in-memory.ts";

const BAD_REQUESTS: readonly [what: string, request: PoolClaimRequest, code: ExclaimErrorCode][] = [
  ["an empty claimant", { claimant: "" }, "CLAIMANT_MISSING"],
  ["a missing claimant", { claimant: undefined as unknown as string }, "CLAIMANT_MISSING"],
  ["a claimant that is a number", { claimant: 7 as unknown as string }, "CLAIMANT_MISSING"],
  ["the text of a missing field", { claimant: String(undefined) }, "CLAIMANT_MISSING"],
  ["the text of null", { claimant: String(null) }, "CLAIMANT_MISSING"],
  ["the text of an object", { claimant: String({}) }, "CLAIMANT_MISSING"],
  ["a claimant of 10 MB", { claimant: "x".repeat(10_000_000) }, "CLAIMANT_INVALID"],
  ["a claimant one byte too long", { claimant: "é".repeat(513) }, "CLAIMANT_INVALID"],
  ["a NUL byte in the claimant", { claimant: "7\0" }, "CLAIMANT_INVALID"],
  ["half a character in the claimant", { claimant: "\ud83d" }, "CLAIMANT_INVALID"],
  ["a null in the scope", { claimant: "7", scope: { campaign_id: null } as unknown as Scope }, "SCOPE_INVALID"],
  ["a scope that is no object", { claimant: "7", scope: "42" as unknown as Scope }, "SCOPE_INVALID"],
  ["a scope of 10 MB", { claimant: "7", scope: { code: "x".repeat(10_000_000) } }, "SCOPE_INVALID"],
  ["an empty pick", { claimant: "7", pick: "" }, "PICK_INVALID"],
  ["a maxHoldMs of zero", { claimant: "7", maxHoldMs: 0 }, "CONFIG_INVALID"],
  ["a lockBy that is none", { claimant: "7", lockBy: "table" as unknown as "row" }, "CONFIG_INVALID"],
];

describe("bad input", () => {
  it.each(BAD_REQUESTS)("refuses %s with a code of its own and asks nothing of the ledger", async (_what, request, code) => {
    const { vouchers, ledger, rows } = openEngine(1);

    const outcome = await vouchers.claim(request, async () => "ran");

    expect(codeOf(outcome)).toBe(code);
    expect(ledger.claims()).toEqual([]);
    expect(rows[0]?.user_id).toBeNull();
  });

  it("takes __proto__, constructor and other odd texts for what they are: claimants", async () => {
    const odd = ["__proto__", "constructor", "toString", "'; drop table voucher_item; --", "💥", " ", "a:b", "{x}"];
    const { vouchers, ledger } = openEngine(odd.length);

    const outcomes = await Promise.all(odd.map((claimant) => vouchers.claim({ claimant }, async (claim) => claim.claimant)));

    expect(outcomes).toEqual(odd.map((claimant) => ({ status: "completed", result: claimant })));
    expect(new Set(ledger.claims().map((claim) => claim.resourceId)).size).toBe(odd.length);
    expect(Object.prototype).not.toHaveProperty("user_id");
  });

  it("keeps the claimant of 10 MB out of the error's message", async () => {
    const { vouchers } = openEngine(1);

    const outcome = await vouchers.claim({ claimant: "x".repeat(10_000_000) }, async () => {});

    expect(outcome.status === "failed" && String(outcome.error).length).toBeLessThan(200);
  });
});

describe("createExclaim", () => {
  const database = { connect: () => expect.unreachable("no connection is asked for") };

  it.each([
    ["no database", {} as never],
    ["a ttl of zero", { database, ttlMs: 0 }],
    ["a ttl that is no number", { database, ttlMs: Number.NaN }],
    ["a ttl beyond a day", { database, ttlMs: 86_400_001 }],
    ["an empty schema", { database, schema: "" }],
    ["a schema of 64 bytes", { database, schema: "s".repeat(64) }],
    ["a lock that is none", { database, lock: {} as never }],
  ])("refuses %s when it is built", (_what, options) => {
    const act = (): unknown => createExclaim(options);

    expect(act).toThrow(expect.objectContaining({ code: "CONFIG_INVALID" }));
  });

  it("refuses a pool without a table and a drain that is no time", () => {
    const exclaim = createExclaim({ database });

    expect(() => exclaim.pool({} as never)).toThrow(expect.objectContaining({ code: "CONFIG_INVALID" }));
    expect(() => exclaim.close({ drainMs: -1 })).toThrow(expect.objectContaining({ code: "CONFIG_INVALID" }));
  });
});

function codeOf(outcome: Outcome): ExclaimErrorCode | undefined {
  return outcome.status === "failed" && isExclaimError(outcome.error) ? outcome.error.code : undefined;
}
