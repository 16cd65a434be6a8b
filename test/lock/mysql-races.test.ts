import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import type { LockBackend } from "../../src/lock/lock.ts";
import { mysql } from "../../src/lock/mysql.ts";
import { systemRandom } from "../../src/random.ts";
import { type FreshMysqlDatabase, freshMysqlDatabase } from "../support/mariadb.ts";
import { openMysqlClients } from "./mysql-clients.ts";

/** So that a machine busy with other tests is not taken for a server that does not answer. */
const PATIENT = { callTimeoutMs: 20_000 };

let database: FreshMysqlDatabase;
beforeAll(async () => {
  database = await freshMysqlDatabase();
});
afterAll(() => database.drop());

describe("owners over 60 connections", () => {
  it("L1 never hold one key together, whoever comes, goes or runs out meanwhile", async () => {
    const locks = openLocks(3, 20);
    const key = randomUUID();
    const overlaps: number[] = [];
    let inside = 0;
    const work = async (lock: LockBackend) => {
      for (let done = 0; done < 5; ) {
        const { lease } = await lock.acquire(key, { ttlMs: 60_000, owner: systemRandom.id() });
        if (lease === null) continue;
        done += 1;
        inside += 1;
        if (inside > 1) overlaps.push(inside);
        expect(await lock.extend(lease)).toBe(true);
        inside -= 1;
        expect(await lock.release(lease)).toBe(true);
      }
    };

    await Promise.all(locks.flatMap((lock) => Array.from({ length: 10 }, () => work(lock))));

    expect(overlaps).toEqual([]);
  });

  it("L1 L3 that find a lease run out take its place one at a time, and fail neither by deadlocks nor by waiting", async () => {
    const locks = openLocks(3, 20);
    const keys = Array.from({ length: 40 }, () => randomUUID());
    await Promise.all(keys.map((key) => locks[0]?.acquire(key, { ttlMs: 1, owner: "gone" })));

    const attempts = await Promise.all(
      keys.flatMap((key) => locks.map((lock) => lock.acquire(key, { ttlMs: 60_000, owner: systemRandom.id() }))),
    );

    expect(attempts.flatMap(({ lease }) => lease?.key ?? []).sort()).toEqual(keys.sort());
  });

  it("L2 extend many leases while others come and go", async () => {
    const locks = openLocks(4, 10);
    const leases = await Promise.all(
      locks.map((lock) =>
        Promise.all(
          Array.from({ length: 100 }, async () => {
            const { lease } = await lock.acquire(randomUUID(), { ttlMs: 60_000, owner: systemRandom.id() });
            if (lease === null) throw new Error("a fresh key is held");
            return lease;
          }),
        ),
      ),
    );
    const passing = async (lock: LockBackend) => {
      for (let round = 0; round < 50; round += 1) {
        const { lease } = await lock.acquire(randomUUID(), { ttlMs: 60_000, owner: systemRandom.id() });
        if (lease !== null) await lock.release(lease);
      }
    };

    const extending = locks.map(async (lock, index) => {
      const answers = [];
      for (let round = 0; round < 10; round += 1) answers.push(await lock.extendMany?.(leases[index] ?? []));
      return answers;
    });
    const [answers] = await Promise.all([Promise.all(extending), Promise.all(locks.map(passing))]);

    expect(answers.flat(2).filter((isHeld) => isHeld === true)).toHaveLength(4_000);
  });
});

/** As many back-ends as processes would have, each with connections of its own. */
function openLocks(count: number, connectionLimit: number): LockBackend[] {
  return Array.from({ length: count }, () => {
    const clients = openMysqlClients(database.url, { connectionLimit });
    onTestFinished(clients.close);
    return mysql(clients.pool, PATIENT);
  });
}
