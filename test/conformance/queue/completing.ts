import { describe, expect, it, vi } from "vitest";
import type { Outcome } from "../../../src/settle/outcome.ts";
import { ScriptedPool } from "../../queue/scripted-pool.ts";
import { claimant, completed, contended, deadLettered, openBroker, type QueueSetup, serveScripted } from "./fixture.ts";

/** Outcomes that end a message at its first delivery, well or not. */
export function completingRules(setup: QueueSetup): void {
  describe("a message that ends at its first delivery", () => {
    it("is completed with what its handler returned, and its pool is asked as the options say", async () => {
      const broker = await openBroker(setup);
      const pool = new ScriptedPool("run");
      await serveScripted(broker, pool, { scope: () => ({ campaign_id: 42 }), pick: () => "1" });

      const id = await broker.send({ user_id: 7 });

      expect(await broker.ended(id)).toEqual(completed(setup, { code: "SUMMER-1" }));
      expect(pool.requests).toMatchObject([
        { claimant: "7", scope: { campaign_id: 42 }, pick: "1", messageId: id, lastAttempt: true },
      ]);
      expect(pool.givenUp).toEqual([]);
      expect(broker.errors).toEqual([]);
    });

    it("is completed with the stored result when its claim was completed before, and its handler does not run", async () => {
      const broker = await openBroker(setup);
      const handler = vi.fn(async () => "again");
      const pool = new ScriptedPool({ status: "replayed", result: { code: "STORED" } });
      await broker.serve(handler, { pool, claimant });

      const id = await broker.send({ user_id: 7 });

      expect(await broker.ended(id)).toEqual(completed(setup, { code: "STORED" }));
      expect(handler).not.toHaveBeenCalled();
    });

    it.each<[string, Outcome]>([
      ["empty: the pool has no free row", { status: "empty" }],
      ["taken: the picked row is not free", { status: "taken" }],
    ])("is dead-lettered, unless a rule says else, when its outcome is %s", async (reason, outcome) => {
      const broker = await openBroker(setup);
      await serveScripted(broker, new ScriptedPool(outcome));

      const id = await broker.send({ user_id: 7 });

      expect(await broker.ended(id)).toEqual(deadLettered(reason));
    });

    it("is dead-lettered with the rule's reason at once, whatever attempts are left", async () => {
      const broker = await openBroker(setup, { attempts: 5 });
      const pool = new ScriptedPool({ status: "empty" });
      await serveScripted(broker, pool, { onEmpty: { do: "dead-letter", reason: "no vouchers left" } });

      const id = await broker.send({ user_id: 7 });

      expect(await broker.ended(id)).toEqual({ status: "dead-lettered", reason: "no vouchers left" });
      expect(pool.requests).toHaveLength(1);
      expect(pool.requests[0]?.lastAttempt).toBe(false);
    });

    it("is completed with the rule's result when a rule says so", async () => {
      const broker = await openBroker(setup);
      await serveScripted(broker, new ScriptedPool({ status: "taken" }), {
        onTaken: { do: "complete", result: "seat is gone" },
      });

      const id = await broker.send({ user_id: 7 });

      expect(await broker.ended(id)).toEqual(completed(setup, "seat is gone"));
    });

    it("is dropped where somebody else's work is enough", async () => {
      const broker = await openBroker(setup);
      const pool = new ScriptedPool(contended);
      await serveScripted(broker, pool, { onContended: { do: "drop" } });

      const id = await broker.send({ user_id: 7 });

      expect(await broker.ended(id)).toEqual({ status: "completed" });
      expect(pool.requests).toHaveLength(1);
    });

    it("waits unsettled as long as its rule says, and is completed when its turn comes", async () => {
      const broker = await openBroker(setup);
      const pool = new ScriptedPool(contended, "run");
      await serveScripted(broker, pool, { onContended: { do: "wait", upToMs: 200 } });

      const id = await broker.send({ user_id: 7 });

      expect(await broker.ended(id)).toEqual(completed(setup, { code: "SUMMER-1" }));
      expect(pool.requests.map(({ waitMs }) => waitMs)).toEqual([undefined, 200]);
    });
  });
}
