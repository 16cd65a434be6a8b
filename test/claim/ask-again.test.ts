import { describe, expect, it } from "vitest";
import { ExclaimError } from "../../src/errors.ts";
import type { ClaimAnswer } from "../../src/ledger/ledger.ts";
import type { MemoryLedger } from "../../src/ledger/memory.ts";
import { openEngine } from "./engine-in-memory.ts";
import { replacing } from "./replacing.ts";

const UNREACHABLE = new ExclaimError("DATABASE_UNREACHABLE", "no answer");
const CONTENDED = { status: "contended", retryAfterMs: 3_000 } as const;

describe("a claim whose answer was lost, while the lost call is still at work", () => {
  // Planted: the second answer taken as it is; both of these failed, the delivery was contended by its own claim.
  it("S5 is asked for again until the call is through, and is not contended by it", async () => {
    const { engine, clock, asked } = openAnswering(["lost", "contended", "contended"]);
    const claiming = engine.vouchers.claim({ claimant: "7" }, async (claim) => claim.key);

    await clock.advance(1_000);

    expect(await claiming).toEqual({ status: "completed", result: "1" });
    expect(asked).toEqual([0, 25, 125, 375]);
  });

  it("S5 is asked for again until the call is through, for a key of a named resource", async () => {
    const { engine, clock, resources } = openEngine(0);
    const take = resources.take.bind(resources);
    let calls = 0;
    resources.take = async (batch) => {
      calls += 1;
      if (calls === 1) throw UNREACHABLE;
      return calls < 4 ? batch.requests.map(() => ({ ...CONTENDED, tooEarly: false })) : take(batch);
    };
    const claiming = engine.resource("order").claim({ key: "42" }, async (claim) => claim.key);

    await clock.advance(1_000);

    expect(await claiming).toEqual({ status: "completed", result: "42" });
    expect(calls).toBe(4);
  });

  it("is contended when somebody has it for longer than a lost call takes", async () => {
    const { engine, clock, asked } = openAnswering(["lost", "contended", "contended", "contended", "contended"]);
    const claiming = engine.vouchers.claim({ claimant: "7" }, async () => {});

    await clock.advance(1_000);

    expect(await claiming).toEqual(CONTENDED);
    expect(asked).toEqual([0, 25, 125, 375, 975]);
  });
});

describe("a claim whose answer was not lost", () => {
  it("is contended at once, and asked for once", async () => {
    const { engine, asked } = openAnswering(["contended"]);

    const outcome = await engine.vouchers.claim({ claimant: "7" }, async () => {});

    expect(outcome).toEqual(CONTENDED);
    expect(asked).toEqual([0]);
  });
});

/** An engine whose ledger answers the first claims so, and the others as it is; and when it was asked, from the start. */
function openAnswering(answers: readonly ("lost" | "contended")[]) {
  const asked: number[] = [];
  const engine = openEngine(1, {
    lock: false,
    ledger: replacing((inner: MemoryLedger) => ({
      async claim(batch): Promise<readonly ClaimAnswer[]> {
        asked.push(engine.clock.now() - startMs);
        const answer = answers[asked.length - 1];
        if (answer === "lost") throw UNREACHABLE;
        return answer === "contended" ? batch.requests.map(() => CONTENDED) : inner.claim(batch);
      },
    })),
  });
  const startMs = engine.clock.now();
  return { engine, clock: engine.clock, asked };
}
