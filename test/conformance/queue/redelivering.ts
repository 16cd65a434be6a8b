import { describe, expect, it, vi } from "vitest";
import type { Claim } from "../../../src/claim/claim.ts";
import { isExclaimError } from "../../../src/errors.ts";
import type { Outcome } from "../../../src/settle/outcome.ts";
import { gate } from "../../claim/engine-in-memory.ts";
import { ScriptedPool, untilAborted, type Voucher } from "../../queue/scripted-pool.ts";
import { eventually } from "../../support/eventually.ts";
import type { FreshDatabase } from "../../support/postgres.ts";
import { claimant, completed, contended, openBench, openBroker, type QueueSetup, SOON, type TestMessage } from "./fixture.ts";

/** Deliveries that the broker takes away while their handler runs, and delivers again. */
export function redeliveringRules(setup: QueueSetup, migrated: () => FreshDatabase): void {
  describe("a delivery that the broker takes away while its handler runs", () => {
    it("A4 A11 B2 aborts its claim, and is no failure though it was the last attempt: the row is kept for the next", async () => {
      const broker = await openBroker(setup);
      const pool = new ScriptedPool("run");
      const reasons: unknown[] = [];
      const outcomes: string[] = [];
      const fault = new TypeError("fetch failed");
      const handler = async (_message: TestMessage, claim: Claim<Voucher>) => {
        if (pool.requests.length > 1) return "second";
        await untilAborted(claim.signal).catch((reason: unknown) => reasons.push(reason));
        throw fault;
      };
      const onLost = ({ outcome }: { readonly outcome: Outcome }) => {
        outcomes.push(outcome.status);
        return SOON;
      };
      await broker.serve(handler, { pool, claimant, onLost, onFailure: "release", onGiveUp: "release" });
      const id = await broker.send({ user_id: 7 });
      await eventually(() => expect(pool.requests).toHaveLength(1));

      await broker.loseDelivery(id);

      expect(await broker.ended(id)).toEqual(completed(setup, "second"));
      expect(reasons.map((reason) => isExclaimError(reason))).toEqual([true]);
      expect(outcomes).toEqual(["lost"]);
      expect(pool.requests.map(({ messageId, lastAttempt }) => ({ messageId, lastAttempt }))).toEqual(
        Array(2).fill({ messageId: id, lastAttempt: true }),
      );
      // The engine asks this of what the first handler threw; of the second's it is as ever.
      expect(pool.requests.map(({ judge }) => judge?.(fault))).toEqual(["pause", "failure"]);
      expect(pool.givenUp).toEqual([]);
    });

    it("A2 A4 B3 is not settled by the late answer of its handler, nor is any other message", async () => {
      const broker = await openBroker(setup);
      const late = gate();
      const second = gate();
      const answered: string[] = [];
      const handler = async ({ data }: TestMessage) => {
        if (data.user_id === 8) return "neighbour";
        const isFirst = answered.length === 0;
        answered.push(isFirst ? "first" : "second");
        await (isFirst ? late.opened : second.opened);
        return isFirst ? "late" : "second";
      };
      await broker.serve(handler, { pool: new ScriptedPool("run"), claimant }, 2);
      const id = await broker.send({ user_id: 7 });
      await eventually(() => expect(answered).toEqual(["first"]));

      await broker.loseDelivery(id);
      await eventually(() => expect(answered).toEqual(["first", "second"]));
      late.open();
      const neighbour = await broker.ended(await broker.send({ user_id: 8 }));
      second.open();

      expect(await broker.ended(id)).toEqual(completed(setup, "second"));
      expect(neighbour).toEqual(completed(setup, "neighbour"));
      expect(answered).toEqual(["first", "second"]);
    });

    it("is not dropped as somebody else's work when it comes back to what its own first delivery left behind", async () => {
      const broker = await openBroker(setup);
      const pool = new ScriptedPool("run", contended, "run");
      const deferrals: number[] = [];
      const handler = async (_message: TestMessage, claim: Claim<Voucher>) => {
        if (pool.requests.length === 1) await untilAborted(claim.signal);
        return "second";
      };
      const onContended = (context: { readonly deferrals: number }) => {
        deferrals.push(context.deferrals);
        return { do: "drop" } as const;
      };
      await broker.serve(handler, { pool, claimant, onContended });
      const id = await broker.send({ user_id: 7 });
      await eventually(() => expect(pool.requests).toHaveLength(1));

      await broker.loseDelivery(id);

      expect(await broker.ended(id)).toEqual(completed(setup, "second"));
      expect(pool.requests).toHaveLength(3);
      expect(deferrals).toEqual([1]);
    });

    it("S2 S3 resumes the same row under the next token, though it was the last attempt and failures release", async () => {
      const { broker, pool, owners } = await openBench(setup, migrated());
      const runs: Pick<Claim, "key" | "token" | "attempt" | "resumed">[] = [];
      const handler = async (_message: TestMessage, claim: Claim<Voucher>) => {
        runs.push(claim);
        if (claim.attempt === 1) await untilAborted(claim.signal);
        return { code: claim.row.code };
      };
      await broker.serve(handler, { pool, claimant, onContended: SOON, onFailure: "release", onGiveUp: "release" });
      const id = await broker.send({ user_id: 7 });
      await eventually(() => expect(runs).toHaveLength(1));

      await broker.loseDelivery(id);

      expect(await broker.ended(id)).toEqual(completed(setup, { code: "A" }));
      expect(runs.map(({ key, attempt, resumed, token }) => ({ key, attempt, resumed, token }))).toEqual([
        { key: "1", attempt: 1, resumed: false, token: 1n },
        { key: "1", attempt: 2, resumed: true, token: 2n },
      ]);
      expect(await owners()).toEqual({ A: "7" });
    });

    it("S5 replays when its claim was completed already: the handler runs once", async () => {
      const { broker, pool, owners } = await openBench(setup, migrated());
      const sent = gate();
      let id = "";
      const handler = vi.fn(async (_message: TestMessage, claim: Claim<Voucher>) => {
        await sent.opened;
        await claim.complete(async () => ({ code: claim.row.code }));
        await broker.loseDelivery(id);
      });
      const asked = vi.spyOn(pool, "claim");
      await broker.serve(handler, { pool, claimant, onContended: SOON });

      id = await broker.send({ user_id: 7 });
      sent.open();

      expect(await broker.ended(id)).toEqual(completed(setup, { code: "A" }));
      expect(handler).toHaveBeenCalledTimes(1);
      expect(asked).toHaveBeenCalledTimes(2);
      expect(await owners()).toEqual({ A: "7" });
    });

    it("S1 S4 is put off while its first handler goes on regardless, and is answered with what that one still completes", async () => {
      const { broker, pool, database, resource, owners } = await openBench(setup, migrated());
      const table = `"redemption of ${resource}"`;
      await database.query(`create table ${table} (token bigint)`);
      const goOn = gate();
      const handler = vi.fn(async (_message: TestMessage, claim: Claim<Voucher>) => {
        await goOn.opened;
        // Its token is still the newest: nobody has taken the claim over.
        return claim.complete(async (tx) => {
          await tx.query(`insert into ${table} values ($1)`, [String(tx.token)]);
          return { code: claim.row.code };
        });
      });
      const onContended = vi.fn(() => SOON);
      await broker.serve(handler, { pool, claimant, onContended, onFailure: "release", onGiveUp: "release" }, 2);
      const id = await broker.send({ user_id: 7 });
      await eventually(() => expect(handler).toHaveBeenCalledTimes(1));

      await broker.loseDelivery(id);
      await eventually(() => expect(onContended).toHaveBeenCalled());
      goOn.open();

      expect(await broker.ended(id)).toEqual(completed(setup, { code: "A" }));
      expect(handler).toHaveBeenCalledTimes(1);
      expect((await database.query(`select token::int from ${table}`)).rows).toEqual([{ token: 1 }]);
      expect(await owners()).toEqual({ A: "7" });
    });

    it("is served once more to the end when it is taken away again and again", async () => {
      const { broker, pool, owners } = await openBench(setup, migrated());
      const tokens: bigint[] = [];
      const handler = async (_message: TestMessage, claim: Claim<Voucher>) => {
        tokens.push(claim.token);
        if (tokens.length < 3) await untilAborted(claim.signal);
        return { code: claim.row.code };
      };
      await broker.serve(handler, { pool, claimant, onContended: SOON, onGiveUp: "release" });
      const id = await broker.send({ user_id: 7 });

      for (const times of [1, 2]) {
        await eventually(() => expect(tokens).toHaveLength(times));
        await broker.loseDelivery(id);
      }

      expect(await broker.ended(id)).toEqual(completed(setup, { code: "A" }));
      expect(tokens).toEqual([1n, 2n, 3n]);
      expect(await owners()).toEqual({ A: "7" });
    });
  });
}
