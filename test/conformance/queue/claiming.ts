import { describe, expect, it, vi } from "vitest";
import type { Claim } from "../../../src/claim/claim.ts";
import { gate } from "../../claim/engine-in-memory.ts";
import type { Voucher } from "../../queue/scripted-pool.ts";
import { eventually } from "../../support/eventually.ts";
import type { FreshDatabase } from "../../support/postgres.ts";
import { allEnded, claimant, completed, deadLettered, openBench, type QueueSetup, SOON, type TestMessage } from "./fixture.ts";

/** Messages that claim rows of a table, by the real engine and ledger. */
export function claimingRules(setup: QueueSetup, migrated: () => FreshDatabase): void {
  describe("messages that claim rows", () => {
    it("S1 S2 get a row each, and a message sent twice the same row and result, from one run", async () => {
      const { broker, pool, owners } = await openBench(setup, migrated());
      const codes = new Map<string, string>();
      const handler = vi.fn(async (_message: TestMessage, claim: Claim<Voucher>) => {
        codes.set(claim.claimant, claim.row.code);
        return { code: claim.row.code };
      });
      for (let consumers = 0; consumers < 2; consumers += 1) {
        await broker.serve(handler, { pool, claimant, onContended: SOON }, 4);
      }

      const ids = await Promise.all([7, 8, 9, 7, 8, 9].map((user_id) => broker.send({ user_id })));

      const results = ["7", "8", "9", "7", "8", "9"].map((who) => () => completed(setup, { code: codes.get(who) }));
      const ends = await allEnded(broker, ids);
      expect(ends).toEqual(results.map((result) => result()));
      expect([...codes.values()].sort()).toEqual(["A", "B", "C"]);
      expect(handler).toHaveBeenCalledTimes(3);
      expect(Object.values(await owners()).sort()).toEqual(["7", "8", "9"]);
    });

    it("S2 two of one claimant at once: one is put off while the other is at work, burns nothing, and is answered later", async () => {
      const { broker, pool, owners } = await openBench(setup, migrated());
      const finish = gate();
      const handler = vi.fn(async (_message: TestMessage, claim: Claim<Voucher>) => {
        await finish.opened;
        return { code: claim.row.code };
      });
      const attemptsMade: number[] = [];
      const onContended = (context: { readonly attemptsMade: number }) => {
        attemptsMade.push(context.attemptsMade);
        return SOON;
      };
      await broker.serve(handler, { pool, claimant, onContended }, 2);
      const first = await broker.send({ user_id: 7 });
      await eventually(() => expect(handler).toHaveBeenCalledTimes(1));

      const duplicate = await broker.send({ user_id: 7 });
      await eventually(() => expect(attemptsMade.length).toBeGreaterThan(2));
      finish.open();

      expect(await allEnded(broker, [first, duplicate])).toEqual(Array(2).fill(completed(setup, { code: "A" })));
      expect(new Set(attemptsMade)).toEqual(new Set([0]));
      expect(handler).toHaveBeenCalledTimes(1);
      expect(await owners()).toEqual({ A: "7" });
    });

    it.each([
      ["frees", "release", {}],
      ["keeps", "keep", { A: "7" }],
    ] as const)("B11 %s the row once the attempts are used up, when onGiveUp is %s", async (_does, onGiveUp, left) => {
      const { broker, pool, owners } = await openBench(setup, migrated(), { attempts: 3 });
      const keys: string[] = [];
      const handler = async (_message: TestMessage, claim: Claim<Voucher>) => {
        keys.push(claim.key);
        throw new Error("no such address");
      };
      await broker.serve(handler, { pool, claimant, onGiveUp });

      const id = await broker.send({ user_id: 7 });

      expect(await broker.ended(id)).toEqual({ status: "dead-lettered", reason: "no such address" });
      expect(keys).toEqual(["1", "1", "1"]);
      expect(await owners()).toEqual(left);
    });

    it("S6 are dead-lettered visibly when the pool is empty, and their handlers do not run", async () => {
      const { broker, pool } = await openBench(setup, migrated(), { rows: 0 });
      const handler = vi.fn(async () => {});
      await broker.serve(handler, { pool, claimant });

      const id = await broker.send({ user_id: 7 });

      expect(await broker.ended(id)).toEqual(deadLettered("empty: the pool has no free row"));
      expect(handler).not.toHaveBeenCalled();
    });

    it("S4 B6 are refused once when the result is a bigint, with nothing of the handler's work committed", async () => {
      const { broker, pool, database, resource } = await openBench(setup, migrated(), { attempts: 3 });
      const table = `"redemption of ${resource}"`;
      await database.query(`create table ${table} (user_id text)`);
      const handler = vi.fn(async (_message: TestMessage, claim: Claim<Voucher>) => {
        await claim.complete(async (tx) => {
          await tx.query(`insert into ${table} values ($1)`, [claim.claimant]);
          return { token: claim.token };
        });
      });
      await broker.serve(handler, { pool, claimant });

      const id = await broker.send({ user_id: 7 });

      expect(await broker.ended(id)).toEqual(deadLettered("RESULT_NOT_SERIALIZABLE"));
      expect(handler).toHaveBeenCalledTimes(1);
      expect((await database.query(`select * from ${table}`)).rows).toEqual([]);
    });

    it("are dead-lettered at once when the claimant is the text of a missing value", async () => {
      const { broker, pool, owners } = await openBench(setup, migrated(), { attempts: 3 });
      const handler = vi.fn(async () => {});
      await broker.serve(handler, { pool, claimant });

      const id = await broker.send({});

      expect(await broker.ended(id)).toEqual(deadLettered('CLAIMANT_MISSING: the claimant is "undefined"'));
      expect(handler).not.toHaveBeenCalled();
      expect(await owners()).toEqual({});
    });
  });
}
