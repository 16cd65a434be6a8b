import { describe, expect, it } from "vitest";
import type { Claim } from "../../../src/claim/claim.ts";
import type { Resource } from "../../../src/claim/resource.ts";
import { gate } from "../../claim/engine-in-memory.ts";
import { eventually } from "../../support/eventually.ts";
import type { FreshDatabase } from "../../support/postgres.ts";
import {
  allEnded,
  claimant,
  completed,
  deadLettered,
  type EngineBench,
  type KeyOptions,
  openBench,
  type QueueSetup,
  type TestMessage,
} from "./fixture.ts";

const key = claimant;

/** Messages that work on the keys of a named resource. */
export function resourceRules(setup: QueueSetup, migrated: () => FreshDatabase): void {
  describe("messages that work on a key", () => {
    it("S1 S3 never two at once, each with the next token", async () => {
      const bench = await openBench(setup, migrated());
      const { broker, database, resource } = bench;
      const table = `"entry of ${resource}"`;
      await database.query(`create table ${table} (token bigint)`);
      let working = 0;
      let most = 0;
      const handler = async (_message: TestMessage, claim: Claim<undefined>) => {
        working += 1;
        most = Math.max(most, working);
        await claim.transaction((tx) => tx.query(`insert into ${table} values ($1)`, [String(tx.token)]));
        working -= 1;
      };
      const onContended = { do: "wait", upToMs: 10_000 } as const;
      await broker.serveKeys(handler, { resource: accountsOf(bench), key, onContended }, 8);

      const ids = await Promise.all(Array.from({ length: 12 }, () => broker.send({ user_id: 7 })));

      expect((await allEnded(broker, ids)).map(({ status }) => status)).toEqual(Array(12).fill("completed"));
      const { rows } = await database.query(`select token::int from ${table} order by token`);
      expect(rows.map(({ token }) => token)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
      expect(most).toBe(1);
    });

    it("B8 are put off while somebody has the key, and run once it is free", async () => {
      const bench = await openBench(setup, migrated());
      const accounts = accountsOf(bench);
      const letGo = await hold(accounts);
      const deferrals: number[] = [];
      await work(bench, accounts, {
        onContended: (context) => {
          deferrals.push(context.deferrals);
          return { do: "retry", delayMs: 20 };
        },
      });

      const id = await bench.broker.send({ user_id: 7 });
      await eventually(() => expect(deferrals.length).toBeGreaterThan(1));
      letGo();

      expect(await bench.broker.ended(id)).toEqual(completed(setup, "2"));
      expect(deferrals.slice(0, 2)).toEqual([0, 1]);
    });

    it("wait for the holder unsettled, and then do what they are told", async () => {
      const bench = await openBench(setup, migrated());
      const { broker } = bench;
      const accounts = accountsOf(bench);
      const letGo = await hold(accounts);
      await work(bench, accounts, {
        onContended: { do: "wait", upToMs: 200, otherwise: { do: "fail", reason: "busy for too long" } },
      });

      const inVain = await broker.ended(await broker.send({ user_id: 7 }));
      letGo();
      const served = await broker.ended(await broker.send({ user_id: 7 }));

      expect(inVain).toEqual({ status: "dead-lettered", reason: "busy for too long" });
      expect(served).toEqual(completed(setup, "2"));
    });

    it("are dropped where somebody's work on the key is enough", async () => {
      const bench = await openBench(setup, migrated());
      const accounts = accountsOf(bench);
      const letGo = await hold(accounts);
      await work(bench, accounts, { onContended: { do: "drop" } });

      const dropped = await bench.broker.ended(await bench.broker.send({ user_id: 7 }));
      letGo();

      expect(dropped).toEqual({ status: "completed" });
    });

    it("are dead-lettered at once without a key, and never run", async () => {
      const bench = await openBench(setup, migrated(), { attempts: 5 });
      const tokens = await work(bench, accountsOf(bench));

      const ended = await bench.broker.ended(await bench.broker.send({}));

      expect(ended).toEqual(deadLettered('the key is "undefined"'));
      expect(tokens).toEqual([]);
    });

    it("keep the interval between two starts, and start the next one on time", async () => {
      const bench = await openBench(setup, migrated());
      const { broker } = bench;
      const startsAtMs: number[] = [];
      const handler = async () => void startsAtMs.push(performance.now());
      await broker.serveKeys(handler, { resource: accountsOf(bench), key, minIntervalMs: 500 }, 4);

      const ids = await Promise.all(Array.from({ length: 3 }, () => broker.send({ user_id: 7 })));
      await allEnded(broker, ids);

      const gapsMs = startsAtMs.slice(1).map((atMs, index) => atMs - (startsAtMs[index] ?? 0));
      expect(gapsMs).toHaveLength(2);
      expect(Math.min(...gapsMs)).toBeGreaterThan(450);
      expect(Math.max(...gapsMs)).toBeLessThan(1_400);
    });
  });
}

function accountsOf({ exclaim, resource }: EngineBench): Resource {
  return exclaim.resource(resource);
}

/** Holds the key as another process would, until the returned function is called. */
async function hold(accounts: Resource): Promise<() => void> {
  const held = gate();
  const done = gate();
  void accounts.claim({ key: "7" }, () => {
    held.open();
    return done.opened;
  });
  await held.opened;
  return done.open;
}

/** Serves the resource: each handler gives its token as a text, which is also noted. */
async function work(bench: EngineBench, accounts: Resource, options: Partial<KeyOptions> = {}): Promise<string[]> {
  const tokens: string[] = [];
  const handler = async (_message: TestMessage, claim: Claim<undefined>) => {
    tokens.push(String(claim.token));
    return String(claim.token);
  };
  await bench.broker.serveKeys(handler, { resource: accounts, key, ...options } as KeyOptions, 10);
  return tokens;
}
