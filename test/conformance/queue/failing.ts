import { describe, expect, it, vi } from "vitest";
import { ExclaimError } from "../../../src/errors.ts";
import { ScriptedPool } from "../../queue/scripted-pool.ts";
import {
  allEnded,
  claimant,
  completed,
  contended,
  deadLettered,
  openBroker,
  type QueueSetup,
  SOON,
  serveScripted,
  type TestMessage,
} from "./fixture.ts";

/** Messages whose handler, options or result are at fault. */
export function failingRules(setup: QueueSetup): void {
  describe("a message that fails", () => {
    it("B11 is tried as often as its attempts say, its pool is told which is the last, and it is given up by the engine alone", async () => {
      const broker = await openBroker(setup, { attempts: 3 });
      const pool = new ScriptedPool("run");
      const handler = vi.fn(async () => {
        throw new RangeError("no such address");
      });
      await broker.serve(handler, { pool, claimant, onGiveUp: "release" });

      const id = await broker.send({ user_id: 7 });

      expect(await broker.ended(id)).toEqual({ status: "dead-lettered", reason: "no such address" });
      expect(handler).toHaveBeenCalledTimes(3);
      expect(pool.requests.map(({ lastAttempt }) => lastAttempt)).toEqual([false, false, true]);
      expect(pool.givenUp).toEqual([]);
      expect(broker.errors).toEqual([]);
    });

    it("B11 is completed when an attempt succeeds that was left", async () => {
      const broker = await openBroker(setup, { attempts: 2 });
      const pool = new ScriptedPool("run");
      await broker.serve(
        async () => {
          if (pool.requests.length === 1) throw new Error("try again");
          return "second";
        },
        { pool, claimant },
      );

      const id = await broker.send({ user_id: 7 });

      expect(await broker.ended(id)).toEqual(completed(setup, "second"));
      expect(pool.requests.map(({ messageId }) => messageId)).toEqual([id, id]);
    });

    it("B10 is counted apart from being put off", async () => {
      const broker = await openBroker(setup, { attempts: 3 });
      const failed = { status: "failed", error: new Error("try again") } as const;
      const pool = new ScriptedPool(contended, failed, contended, contended, failed, contended, "run");
      const counts: number[][] = [];
      await serveScripted(broker, pool, {
        onContended: ({ deferrals, attemptsMade }) => {
          counts.push([deferrals, attemptsMade]);
          return SOON;
        },
      });

      const id = await broker.send({ user_id: 7 });

      expect(await broker.ended(id)).toEqual(completed(setup, { code: "SUMMER-1" }));
      expect(counts).toEqual([
        [0, 0],
        [1, 1],
        [2, 1],
        [3, 2],
      ]);
      expect(pool.requests.map(({ lastAttempt }) => lastAttempt)).toEqual([false, false, false, false, false, true, true]);
    });

    it("B7 is dead-lettered at once by an error named UnrecoverableError, which the pool is told is final", async () => {
      const broker = await openBroker(setup, { attempts: 5 });
      const pool = new ScriptedPool("run");
      const error = Object.assign(new Error("card was stolen"), { name: "UnrecoverableError" });
      await broker.serve(() => Promise.reject(error), { pool, claimant });

      const id = await broker.send({ user_id: 7 });

      expect(await broker.ended(id)).toEqual({ status: "dead-lettered", reason: "card was stolen" });
      expect(pool.requests.map(({ judge }) => judge?.(error))).toEqual(["final"]);
      expect(pool.givenUp).toEqual([]);
    });

    it.each<[string, unknown]>([
      ["undefined", undefined],
      ["null", null],
      ["out of stock", "out of stock"],
      ["42", 42],
    ])("is dead-lettered like any other when its handler throws what is no Error: %s", async (text, thrown) => {
      const broker = await openBroker(setup);
      await broker.serve(
        async () => {
          throw thrown;
        },
        { pool: new ScriptedPool(), claimant },
      );

      const id = await broker.send({ user_id: 7 });

      expect(await broker.ended(id)).toEqual(deadLettered(text));
      expect(broker.errors).toEqual([]);
    });

    it("B6 is dead-lettered at once when its result cannot be stored, so that its effects are not repeated", async () => {
      const broker = await openBroker(setup, { attempts: 3 });
      const error = new ExclaimError("RESULT_NOT_SERIALIZABLE", "the result holds a bigint");
      const pool = new ScriptedPool({ status: "failed", error });
      await serveScripted(broker, pool);

      const id = await broker.send({ user_id: 7 });

      expect(await broker.ended(id)).toEqual(deadLettered("RESULT_NOT_SERIALIZABLE: the result holds a bigint"));
      expect(pool.requests).toHaveLength(1);
    });

    it.each<[string, (message: TestMessage) => string, string]>([
      ["gives nothing", ({ data }) => data.user_id as unknown as string, "a value of type undefined"],
      ["gives an empty text", () => "", "an empty text"],
      ["throws", () => raise(new TypeError("no data")), "no data"],
    ])("is dead-lettered at once when its claimant function %s, without asking the pool", async (_case, claimant, reason) => {
      const broker = await openBroker(setup, { attempts: 5 });
      const pool = new ScriptedPool("run");
      const handler = vi.fn(async () => {});
      await broker.serve(handler, { pool, claimant });

      const id = await broker.send({});

      const ended = await broker.ended(id);
      expect(ended).toEqual(deadLettered("CLAIMANT_MISSING"));
      expect(ended).toEqual(deadLettered(reason));
      expect(pool.requests).toEqual([]);
      expect(pool.givenUp).toEqual([]);
      expect(handler).not.toHaveBeenCalled();
    });

    it("leaves the messages beside it alone", async () => {
      const broker = await openBroker(setup);
      const handler = async ({ data }: TestMessage) => {
        if (data.user_id === 8) throw new Error("no such address");
        return data.user_id;
      };
      await broker.serve(handler, { pool: new ScriptedPool("run"), claimant }, 3);

      const ids = await Promise.all([7, 8, 9].map((user_id) => broker.send({ user_id })));

      const [seven, eight, nine] = await allEnded(broker, ids);
      expect([seven, nine]).toEqual([completed(setup, 7), completed(setup, 9)]);
      expect(eight).toEqual({ status: "dead-lettered", reason: "no such address" });
    });
  });
}

function raise(error: Error): never {
  throw error;
}
