import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type ExclaimErrorCode, isExclaimError } from "../../src/errors.ts";
import type { ClaimRef, Row } from "../../src/ledger/ledger.ts";
import { type MemoryLedger, memoryLedger } from "../../src/ledger/memory.ts";
import type { PoolDefinition, Scope } from "../../src/ledger/pool-definition.ts";
import { type LedgerFixture, type LedgerTableSpec, poolOf, refusalOf } from "../conformance/ledger/fixture.ts";
import { ledgerConformance } from "../conformance/ledger-conformance.ts";

ledgerConformance("memory", createFixture);

const POOL: PoolDefinition = { table: "voucher_item", ownerColumn: "user_id" };

describe("the memory ledger alone", () => {
  it("changes the caller's rows in place and answers with copies of them", async () => {
    const row: Row = { id: 1, user_id: null };
    const { ledger } = openMemory([row]);

    const [answer] = await claimAll(ledger, ["7"]);

    expect(row).toEqual({ id: 1, user_id: "7" });
    expect(answer).toHaveProperty("row", { id: 1, user_id: "7" });
    expect(answer?.status === "claimed" && answer.row !== row).toBe(true);
    expect(ledger.tables.voucher_item?.[0]).toBe(row);
  });

  it("writes the claimant as a number where the owner column holds numbers", async () => {
    const rows: Row[] = [1, 2].map((id) => ({ id, user_id: null }));
    const { ledger } = openMemory(rows, { voucher_item: { user_id: "number" } });

    await claimAll(ledger, ["07", "9007199254740993"]);

    expect(rows).toEqual([
      { id: 1, user_id: 7 },
      { id: 2, user_id: 9007199254740993n },
    ]);
  });

  it("ends a lease at the very millisecond", async () => {
    const { ledger, advance } = openMemory([{ id: 1, user_id: null }]);
    await claimAll(ledger, ["7"]);

    advance(999.5);
    const [justBefore] = await claimAll(ledger, ["7"]);
    advance(0.5);
    const [then] = await claimAll(ledger, ["7"]);

    expect(justBefore).toEqual({ status: "contended", retryAfterMs: 1 });
    expect(then).toMatchObject({ status: "claimed", resumed: true });
  });

  it("takes effect before it answers", async () => {
    const rows: Row[] = [{ id: 1, user_id: null }];
    const { ledger } = openMemory(rows);

    const pending = claimAll(ledger, ["7"]);
    const ownerAtOnce = rows[0]?.user_id;
    await pending;

    expect(ownerAtOnce).toBe("7");
  });

  it("shows what transactions published, in commit order, as JSON leaves it", async () => {
    const { ledger } = openMemory([{ id: 1, user_id: null }]);
    const claim = await claimFirst(ledger);

    await ledger.transact(claim, (tx) => tx.publish("a", { at: new Date(0), nothing: undefined }));
    await ledger.transact(claim, (tx) => tx.publish("b", undefined));

    expect(ledger.published).toEqual([
      { id: "message-1", topic: "a", payload: { at: "1970-01-01T00:00:00.000Z" } },
      { id: "message-2", topic: "b", payload: null },
    ]);
  });

  it("refuses to publish in a transaction that is over", async () => {
    const { ledger } = openMemory([{ id: 1, user_id: null }]);
    const claim = await claimFirst(ledger);
    const tx = await ledger.transact(claim, async (open) => open);

    const late = tx.publish("late", 1);

    expect(await codeOf(late)).toBe("CLAIM_ENDED");
    expect(ledger.published).toEqual([]);
  });

  it("refuses SQL: in a transaction, in where and in orderBy", async () => {
    const { ledger } = openMemory([{ id: 1, user_id: null }]);
    const claim = await claimFirst(ledger);

    const query = ledger.transact(claim, (tx) => tx.query("select 1"));
    const where = claimAll(ledger, ["8"], { ...POOL, where: "valid_until > now()" });
    const orderBy = claimAll(ledger, ["8"], { ...POOL, orderBy: "random()" });

    expect(await codeOf(query)).toBe("CONFIG_INVALID");
    expect(await codeOf(where)).toBe("POOL_INVALID");
    expect(await codeOf(orderBy)).toBe("POOL_INVALID");
  });

  it("refuses a table that it does not have", async () => {
    const { ledger } = openMemory([]);

    const codes = [];
    for (const table of ["other", "constructor", "__proto__"]) codes.push(await codeOf(claimAll(ledger, ["7"], { table })));

    expect(codes).toEqual(["POOL_INVALID", "POOL_INVALID", "POOL_INVALID"]);
  });

  it("refuses a scope that is null or does not fit, alone in its batch, and finds no claim there", async () => {
    const rows: Row[] = [{ id: 1, user_id: null, campaign_id: 1 }];
    const { ledger } = openMemory(rows, { voucher_item: { campaign_id: "number" } });
    const scopes = [{ campaign_id: null }, { campaign_id: undefined }, { campaign_id: "abc" }] as unknown as Scope[];

    const requests = [...scopes, { campaign_id: 1 }].map((scope, index) => {
      return { scope, claimant: "7", holder: `holder-${index}`, messageId: null, pick: null };
    });
    const answers = await ledger.claim({ pool: POOL, ttlMs: 1_000, rerun: false, requests });
    const found = await Promise.all(scopes.map((scope) => ledger.find(POOL, scope, "7")));

    expect(answers.slice(0, 3).map(refusalOf)).toEqual(["SCOPE_INVALID", "SCOPE_INVALID", "SCOPE_INVALID"]);
    expect(answers[3]?.status).toBe("claimed");
    expect(ledger.claims()).toHaveLength(1);
    expect(found).toEqual([null, null, null]);
  });

  it("orders numbers as numbers, texts as texts and null last", async () => {
    const rows = [10, 9, null, 100].map((rank, index): Row => ({ id: index + 1, user_id: null, rank }));
    const { ledger } = openMemory(rows);

    const answers = await claimAll(ledger, ["1", "2", "3", "4"], { ...POOL, orderBy: "rank" });

    const ids = answers.map((answer) => (answer.status === "claimed" ? answer.claim.resourceId : answer.status));
    expect(ids).toEqual(["2", "1", "4", "3"]);
  });
});

describe("the memory ledger under any sequence of calls", () => {
  const steps = fc.array(
    fc.record({
      act: fc.constantFrom("claim", "rerun", "retry", "complete", "fail", "renew", "release", "transact", "elapse"),
      claimant: fc.constantFrom("7", "8", "9"),
      /** Which of the claims granted so far an end is tried with: stale ones too. */
      back: fc.nat({ max: 4 }),
    }),
    { maxLength: 40 },
  );

  it("S1 S2 S3 keeps one claim a row, one row a claimant and tokens that only grow", async () => {
    await fc.assert(
      fc.asyncProperty(steps, async (script) => {
        const { ledger, rows } = await play(script);

        const live = ledger.claims().filter((claim) => claim.status !== "released");
        const owned = rows.filter((row) => row.user_id !== null);
        expect(new Set(live.map((claim) => claim.resourceId)).size).toBe(live.length);
        expect(owned.map((row) => `${row.id} of ${row.user_id}`).toSorted()).toEqual(
          live.map((claim) => `${claim.resourceId} of ${claim.claimant}`).toSorted(),
        );
      }),
      { seed: 7, numRuns: 500 },
    );
  });

  it("gives the same answers to the same calls", async () => {
    await fc.assert(
      fc.asyncProperty(steps, async (script) => {
        const first = await play(script);
        const second = await play(script);

        expect(second.answers).toEqual(first.answers);
        expect(second.ledger.claims()).toEqual(first.ledger.claims());
      }),
      { seed: 11, numRuns: 100 },
    );
  });
});

interface Step {
  readonly act: string;
  readonly claimant: string;
  readonly back: number;
}

/** Plays a script on two rows; fails at once when a grant's token is not the newest its row ever had. */
async function play(script: readonly Step[]) {
  const rows: Row[] = [1, 2].map((id) => ({ id, user_id: null }));
  const { ledger, advance } = openMemory(rows);
  const granted: ClaimRef[] = [];
  const answers: unknown[] = [];
  for (const [index, { act, claimant, back }] of script.entries()) {
    const claim = granted.at(-1 - back);
    if (act === "elapse") advance(600);
    else if (act === "claim" || act === "rerun" || act === "retry") {
      const holder = act === "retry" ? "retried" : `holder-${index}`;
      const request = { scope: {}, claimant, holder, messageId: null, pick: null };
      const batch = { pool: POOL, ttlMs: 1_000, rerun: act === "rerun", requests: [request] };
      const [answer] = await ledger.claim(batch);
      answers.push(answer);
      if (answer?.status === "claimed" && !granted.some((other) => isSame(other, answer.claim))) {
        const earlier = granted.filter((other) => other.resourceId === answer.claim.resourceId);
        expect(earlier.every((other) => other.token < answer.claim.token)).toBe(true);
        granted.push(answer.claim);
      }
    } else if (claim !== undefined) answers.push(await end(ledger, act, claim));
  }
  return { ledger, rows, answers };
}

async function end(ledger: MemoryLedger, act: string, claim: ClaimRef): Promise<unknown> {
  if (act === "complete") return ledger.complete([{ claim, result: "1" }]);
  if (act === "fail") return ledger.fail([claim]);
  if (act === "renew") return ledger.renew([claim], 1_000);
  if (act === "release") return ledger.release(POOL, [claim]);
  const transaction = ledger.transact(claim, (tx) => tx.publish("a", 1));
  return transaction.catch((error: unknown) => isExclaimError(error, "FENCED"));
}

function isSame(left: ClaimRef, right: ClaimRef): boolean {
  return left.resourceId === right.resourceId && left.token === right.token && left.claimant === right.claimant;
}

type ColumnTypes = NonNullable<Parameters<typeof memoryLedger>[0]["columnTypes"]>;

function openMemory(rows: Row[], columnTypes: ColumnTypes = {}) {
  let nowMs = 0;
  const clock = {
    now: () => nowMs,
    after: () => {
      throw new Error("The memory ledger sets no timers.");
    },
  };
  const ledger = memoryLedger({ clock, tables: { voucher_item: rows }, columnTypes });
  const advance = (ms: number) => {
    nowMs += ms;
  };
  return { ledger, advance };
}

function claimAll(ledger: MemoryLedger, claimants: readonly string[], pool = POOL, scope: Scope = {}) {
  const nth = ledger.claims().reduce((sum, claim) => sum + claim.attempt, 0);
  const requests = claimants.map((claimant) => ({
    scope,
    claimant,
    holder: `${claimant}-${nth}`,
    messageId: null,
    pick: null,
  }));
  return ledger.claim({ pool, ttlMs: 1_000, rerun: false, requests });
}

async function claimFirst(ledger: MemoryLedger): Promise<ClaimRef> {
  const [answer] = await claimAll(ledger, ["7"]);
  if (answer?.status !== "claimed") throw new Error("The first claim was not answered with a row.");
  return answer.claim;
}

async function codeOf(call: Promise<unknown>): Promise<ExclaimErrorCode | "no error"> {
  try {
    await call;
    return "no error";
  } catch (error) {
    if (isExclaimError(error)) return error.code;
    throw error;
  }
}

async function createFixture(spec: LedgerTableSpec): Promise<LedgerFixture> {
  const numbers = { id: "number", campaign_id: "number" } as const;
  const columns = spec.ownerType === "text" ? numbers : ({ ...numbers, user_id: "number" } as const);
  const rows = Array.from({ length: spec.rows }, (_, index): Row => {
    return { id: index + 1, code: `CODE-${index + 1}`, user_id: null, campaign_id: 1, status: "free" };
  });
  const { ledger, advance } = openMemory(rows, { voucher_item: columns });
  return {
    ledger,
    pool: poolOf("voucher_item", spec),
    rows: async () => rows.map((row) => ({ ...row })),
    claims: async () => [...ledger.claims()],
    published: async () => [...ledger.published],
    elapse: async (ms) => advance(ms),
    writeRow: async (id, patch) => {
      const index = rows.findIndex((row) => String(row.id) === id);
      const row = rows[index];
      if (row === undefined) throw new Error(`There is no row ${id}.`);
      if (patch === null) rows.splice(index, 1);
      else Object.assign(row, patch);
    },
    close: async () => {},
  };
}
