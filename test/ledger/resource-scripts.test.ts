import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { isExclaimError } from "../../src/errors.ts";
import { memoryResources } from "../../src/ledger/memory-resources.ts";
import type {
  ResourceLedger,
  ResourceRef,
  ResourceTransactions,
  Spacing,
  TakeAnswer,
} from "../../src/ledger/resource-ledger.ts";
import { requestFor } from "../conformance/resource/fixture.ts";
import { type ResourceDatabase, resourceDatabase } from "./resource-database.ts";

/** Leases and spacings are whole hours, and no 200 steps in which time passes end within 8 s of a whole or half one. */
const HOUR_MS = 3_600_000;
const STEP_MS = 2_392_000;
/** How far a hint may be off: what a script really takes. */
const SLACK_MS = 8_000;

let database: ResourceDatabase;

beforeAll(async () => {
  database = await resourceDatabase();
});

afterAll(() => database.drop());

const spacings = fc.constantFrom<Spacing>(
  { from: "none" },
  { from: "start", minIntervalMs: 2 * HOUR_MS },
  { from: "end", minIntervalMs: HOUR_MS },
  { from: "beat", intervalMs: HOUR_MS },
  { from: "beat", intervalMs: 3 * HOUR_MS },
);
const takes = fc.record({
  act: fc.constant("take" as const),
  key: fc.constantFrom("a", "b"),
  mode: fc.constantFrom("exclusive" as const, "exclusive" as const, "shared" as const),
  spacing: spacings,
  hours: fc.constantFrom(1, 2),
  /** How many granted leases back the holder is taken from, 0 for a new one. */
  holderOf: fc.constantFrom(0, 0, 0, 1, 2),
});
const others = fc.record({
  act: fc.constantFrom("renew" as const, "complete" as const, "fail" as const, "write" as const, "finish" as const),
  /** Which of the leases granted so far it is tried with: stale ones too. */
  back: fc.nat({ max: 3 }),
});
const elapses = fc.record({ act: fc.constant("elapse" as const), steps: fc.constantFrom(1, 2, 5) });
const scripts = fc.array(fc.oneof({ arbitrary: takes, weight: 5 }, { arbitrary: others, weight: 4 }, elapses), {
  minLength: 20,
  maxLength: 40,
});

type Script = typeof scripts extends fc.Arbitrary<infer Value> ? Value : never;

describe("the leases of both ledgers under any sequence of calls", () => {
  it("S3 S4 are answered alike, and remembered alike", async () => {
    await fc.assert(
      fc.asyncProperty(scripts, async (script) => {
        await database.sql.query("truncate exclaim.leases, exclaim.lease_sharers");
        let nowMs = 0;
        const memory = memoryResources({ clock: { now: () => nowMs, after: () => () => {} } });

        const fromMemory = await play(script, memory, async (ms) => {
          nowMs += ms;
        });
        const fromPostgres = await play(script, database.resources.fixture.ledger, letTimePass);

        const hints = [fromMemory, fromPostgres].map((answers) => answers.map(hintOf));
        expect(fromPostgres.map(withoutHint)).toEqual(fromMemory.map(withoutHint));
        const off = hints[0]?.map((hint, index) => Math.abs(hint - (hints[1]?.[index] ?? 0)));
        expect(off?.filter((ms) => ms > SLACK_MS)).toEqual([]);
        const remembered = await database.resources.fixture.leases();
        const known = memory.leases();
        expect(remembered.map(({ key, token, status, attempt, sharers }) => [key, token, status, attempt, sharers])).toEqual(
          expect.arrayContaining(known.map((l) => [l.key, l.token, l.status, l.attempt, l.sharers.size])),
        );
        expect(remembered).toHaveLength(known.length);
      }),
      { seed: 13, numRuns: 60 },
    );
  }, 120_000);
});

describe("a beat in the database", () => {
  it("R6 stays on its grid to the microsecond over 100 beats, however late each take is", async () => {
    await database.sql.query("truncate exclaim.leases, exclaim.lease_sharers");
    const driver = database.resources;
    const spacing: Spacing = { from: "beat", intervalMs: HOUR_MS };
    let passedUs = 0n;
    const points: bigint[] = [];

    for (let count = 0; count < 100; count += 1) {
      await driver.end((await driver.held("42", { spacing })).lease);
      points.push(passedUs + ((await driver.lease("42"))?.notBeforeUs ?? 0n));
      const { retryAfterMs } = await driver.contended("42", { spacing });
      expect(retryAfterMs).toBeLessThanOrEqual(HOUR_MS);
      // Later than half a beat, and the point after is passed over.
      const lateMs = (count * 7_919_333) % (HOUR_MS / 2 - SLACK_MS);
      await letTimePass(retryAfterMs + lateMs);
      passedUs += BigInt(retryAfterMs + lateMs) * 1_000n;
    }

    const first = points[0] ?? 0n;
    expect(points.map((point) => point - first)).toEqual(points.map((_, index) => BigInt(index) * 3_600_000_000n));
  });
});

/** Plays a script and gives every answer; fails at once when a new holder's token is not the newest of its key. */
async function play(
  script: Script,
  ledger: ResourceLedger & ResourceTransactions,
  elapse: (ms: number) => Promise<void>,
): Promise<unknown[]> {
  const granted: ResourceRef[] = [];
  const answers: unknown[] = [];
  for (const [index, step] of script.entries()) {
    if (step.act === "elapse") await elapse(step.steps * STEP_MS);
    else if (step.act === "take") {
      const holder = (step.holderOf === 0 ? undefined : granted.at(-step.holderOf)?.holder) ?? `holder-${index}`;
      const { key, mode, spacing } = step;
      const requests = [requestFor(key, { holder, mode, spacing: mode === "shared" ? { from: "none" } : spacing })];
      const [answer] = await ledger.take({ resource: "order", ttlMs: step.hours * HOUR_MS, requests });
      answers.push(answer);
      if (answer?.status === "held") note(granted, answer.lease, mode);
    } else {
      const lease = granted.at(-1 - step.back);
      if (lease !== undefined) answers.push(await change(ledger, step.act, lease));
    }
  }
  return answers;
}

function note(granted: ResourceRef[], lease: ResourceRef, mode: "exclusive" | "shared"): void {
  const isKnown = granted.some(
    (other) => other.holder === lease.holder && other.key === lease.key && other.token === lease.token,
  );
  if (isKnown) return;
  const earlier = granted.filter((other) => other.key === lease.key);
  expect(earlier.every((other) => (mode === "shared" ? other.token <= lease.token : other.token < lease.token))).toBe(true);
  granted.push(lease);
}

async function change(ledger: ResourceLedger & ResourceTransactions, act: string, lease: ResourceRef): Promise<unknown> {
  if (act === "renew") return ledger.renew([lease], 2 * HOUR_MS);
  if (act === "complete") return ledger.end([{ lease, how: "completed" }]);
  if (act === "fail") return ledger.end([{ lease, how: "failed" }]);
  const transaction = ledger.transact(lease, async () => "committed", { ends: act === "finish" });
  return transaction.catch((error: unknown) => isExclaimError(error, "FENCED"));
}

/** Every instant that the ledger remembers moves into the past instead. */
async function letTimePass(ms: number): Promise<void> {
  await database.sql.query(`update exclaim.leases set
    leased_until = leased_until - interval '${ms} ms', not_before = not_before - interval '${ms} ms',
    taken_at = taken_at - interval '${ms} ms', ended_at = ended_at - interval '${ms} ms'`);
  await database.sql.query(`update exclaim.lease_sharers set leased_until = leased_until - interval '${ms} ms'`);
}

function hintOf(answer: unknown): number {
  const { retryAfterMs = 0 } = (typeof answer === "object" ? answer : {}) as Partial<
    Extract<TakeAnswer, { status: "contended" }>
  >;
  return retryAfterMs;
}

function withoutHint(answer: unknown): unknown {
  if (typeof answer !== "object" || answer === null || Array.isArray(answer)) return answer;
  return { ...answer, retryAfterMs: undefined };
}
