import { describe, expect, it, vi } from "vitest";
import type { Claim } from "../../../src/claim/claim.ts";
import { gate } from "../../claim/engine-in-memory.ts";
import { untilAborted, type Voucher } from "../../queue/scripted-pool.ts";
import { eventually } from "../../support/eventually.ts";
import type { FreshDatabase } from "../../support/postgres.ts";
import { allEnded, claimant, completed, openBench, type QueueSetup, SOON, type TestMessage } from "./fixture.ts";

/** Consumers that are closed together with their engine, and others that go on. */
export function shuttingDownRules(setup: QueueSetup, migrated: () => FreshDatabase): void {
  describe("a consumer that is shut down", () => {
    it("A13 B14 lets its handlers finish and settles them; the messages it did not begin are another's", async () => {
      const { broker, pool, exclaim, another, owners } = await openBench(setup, migrated(), { rows: 6 });
      const finish = gate();
      const aborted = vi.fn();
      const handler = vi.fn(async (_message: TestMessage, claim: Claim<Voucher>) => {
        claim.signal.addEventListener("abort", aborted);
        await finish.opened;
        return { by: "first" };
      });
      const consumer = await broker.serve(handler, { pool, claimant, onContended: SOON }, 2);
      const ids = await Promise.all([1, 2, 3, 4, 5, 6].map((user_id) => broker.send({ user_id })));
      await eventually(() => expect(handler).toHaveBeenCalledTimes(2));

      const closed = Promise.all([exclaim.close({ drainMs: 5_000 }), consumer.close()]);
      await broker.serve(async () => ({ by: "second" }), { pool: another().pool, claimant, onContended: SOON });
      finish.open();
      await closed;

      const ends = await allEnded(broker, ids);
      expect(ends.map(({ status }) => status)).toEqual(Array(6).fill("completed"));
      if (setup.storesResults) {
        expect(ends.filter((end) => "result" in end && (end.result as { by: string }).by === "first")).toHaveLength(2);
      }
      expect(handler).toHaveBeenCalledTimes(2);
      expect(aborted).not.toHaveBeenCalled();
      expect(Object.values(await owners()).sort()).toEqual(["1", "2", "3", "4", "5", "6"]);
    });

    it("A13 hands on what does not finish in time: no attempt is burned, and another resumes the same row", async () => {
      const { broker, pool, exclaim, another, owners } = await openBench(setup, migrated());
      const begun = vi.fn();
      const consumer = await broker.serve(
        (_message, claim) => {
          begun();
          return untilAborted(claim.signal);
        },
        { pool, claimant, onFailure: "release", onGiveUp: "release" },
      );
      const id = await broker.send({ user_id: 7 });
      await eventually(() => expect(begun).toHaveBeenCalledTimes(1));

      await Promise.all([exclaim.close({ drainMs: 50 }), consumer.close()]);
      const resumed: boolean[] = [];
      await broker.serve(
        async (_message, claim) => {
          resumed.push(claim.resumed);
          return { code: claim.row.code };
        },
        { pool: another().pool, claimant, onContended: SOON },
      );

      expect(await broker.ended(id)).toEqual(completed(setup, { code: "A" }));
      expect(resumed).toEqual([true]);
      expect(await owners()).toEqual({ A: "7" });
    });
  });
}
