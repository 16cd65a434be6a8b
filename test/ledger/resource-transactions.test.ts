import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { Transaction } from "../../src/ledger/ledger.ts";
import type { ResourceRef } from "../../src/ledger/resource-ledger.ts";
import { asHeld, type ResourceDriver } from "../conformance/resource/fixture.ts";
import { eventually } from "../support/eventually.ts";
import { thrownBy } from "./ledger-database.ts";
import { type ResourceDatabase, resourceDatabase } from "./resource-database.ts";

let database: ResourceDatabase;
let driver: ResourceDriver;
let key: string;
let tests = 0;

beforeAll(async () => {
  database = await resourceDatabase();
  driver = database.resources;
  await database.sql.query("create table note (key text, amount int)");
});

afterAll(() => database.drop());

beforeEach(() => {
  tests += 1;
  key = `key-${tests}`;
});

describe("a long fenced transaction under a lease", () => {
  // Planted: `for key share` left out of the fence: the key was taken while the transaction was open, and it committed. A take without
  // `skip locked`: it waited for the transaction, with the rest of its batch.
  it("S4 keeps a take out though the lease is over, with a short hint, and lets it in once it has ended", async () => {
    const { lease } = await driver.held(key, { ttlMs: 1 });
    const open = await openTransaction(lease);
    await leaseIsOver();

    const during = [await driver.take(key), await driver.take(key, { mode: "shared" })];
    await open.commit();
    const after = await driver.held(key);

    const answer = { status: "contended", retryAfterMs: 100, tooEarly: false };
    expect(during).toEqual([answer, answer]);
    expect(after).toMatchObject({ attempt: 2, resumed: true, lease: { token: 2n } });
    expect(await notes()).toEqual([1]);
  });

  it("holds up nobody else of its batch: not their takes, renewals or ends", async () => {
    const { lease } = await driver.held(key, { ttlMs: 1 });
    const others = (await driver.takeMany([`${key} b`, `${key} c`])).map((answer) => asHeld(answer).lease);
    const open = await openTransaction(lease);
    await leaseIsOver();
    const { ledger } = driver.fixture;

    const taken = await driver.takeMany([`${key} a`, key, `${key} d`]);
    const renewed = await ledger.renew([...others, lease], 30_000);
    const ended = await ledger.end([lease, ...others].map((each) => ({ lease: each, how: "completed" as const })));
    await open.commit();

    expect(taken.map(({ status }) => status)).toEqual(["held", "contended", "held"]);
    expect(renewed).toEqual(["done", "done", "done"]);
    expect(ended).toEqual(["busy", "done", "done"]);
  });

  for (const mode of ["exclusive", "shared"] as const) {
    // Planted: renewals that lock FOR UPDATE, answered busy.
    it(`lets its own lease be renewed, and makes its end busy or wait: ${mode}`, async () => {
      const { lease } = await driver.held(key, { mode, ttlMs: 1_000 });
      const open = await openTransaction(lease);

      const renewed = await driver.fixture.ledger.renew([lease], 60_000);
      const busy = await driver.fixture.ledger.end([{ lease, how: "completed" }]);
      const other = database.openResources();
      let isEnded = false;
      const ending = other.fixture.ledger.end([{ lease, how: "completed" }], { wait: true }).finally(() => {
        isEnded = true;
      });
      await eventually(() => oneWaits());
      const before = isEnded;
      await open.commit();

      expect([renewed, busy, before]).toEqual([["done"], ["busy"], false]);
      expect(await ending).toEqual(["done"]);
      expect(await driver.held(key)).toMatchObject({ attempt: 1 });
    });
  }
});

describe("a take of a key that lives, while its holder has a transaction open", () => {
  // Planted: leases locked before it is looked whether they live: the take was told the short time of who meets a lock.
  for (const [held, asked] of [
    ["exclusive", "exclusive"],
    ["exclusive", "shared"],
    ["shared", "exclusive"],
  ] as const) {
    it(`R3 is told what is left of the lease, and locks nothing: ${held}, then ${asked}`, async () => {
      const { lease } = await driver.held(key, { mode: held, ttlMs: 30_000 });
      const open = await openTransaction(lease);

      const answer = await driver.contended(key, { mode: asked });
      await open.commit();

      expect(answer.retryAfterMs).toBeGreaterThan(20_000);
    });
  }
});

describe("a long fenced transaction of one sharer", () => {
  // Planted: joining under FOR UPDATE: the readers were contended for as long as one of them wrote.
  it("R7 lets others join, renew, end and write beside it, and keeps an exclusive take out", async () => {
    const first = await driver.held(key, { mode: "shared" });
    const open = await openTransaction(first.lease);

    const second = await driver.held(key, { mode: "shared" });
    const third = await driver.held(key, { mode: "shared" });
    const { ledger } = driver.fixture;
    const renewed = await ledger.renew([second.lease, first.lease], 30_000);
    await ledger.transact(second.lease, (tx) => write(tx, 2), { ends: true });
    const ended = await ledger.end([{ lease: third.lease, how: "completed" }]);
    const exclusive = await driver.take(key);
    await open.commit();

    expect([renewed, ended]).toEqual([["done", "done"], ["done"]]);
    expect(exclusive.status).toBe("contended");
    expect(await notes()).toEqual([1, 2]);
    expect(await driver.lease(key)).toMatchObject({ sharers: 1 });
  });

  it("S4 keeps an exclusive take and a new group out though all their leases are over", async () => {
    const { lease } = await driver.held(key, { mode: "shared", ttlMs: 1 });
    const open = await openTransaction(lease);
    await leaseIsOver();

    const during = [await driver.take(key), await driver.take(key, { mode: "shared" })];
    await open.commit();

    expect(during.map(({ status }) => status)).toEqual(["contended", "contended"]);
    expect((await driver.held(key)).lease.token).toBe(2n);
  });
});

describe("a fenced transaction that comes while the key is being taken", () => {
  it("S4 waits for the take and is then fenced", async () => {
    const { lease } = await driver.held(key);
    const take = await database.sql.connect();
    await take.query("begin");
    await take.query("select 1 from exclaim.leases where key = $1 for update", [key]);
    await take.query("update exclaim.leases set token = token + 1, holder = 'other' where key = $1", [key]);

    const writing = thrownBy(driver.fixture.ledger.transact(lease, (tx) => write(tx, 1)));
    await eventually(() => oneWaits());
    await take.query("commit");
    take.release();

    expect(await writing).toMatchObject({ code: "FENCED", message: expect.stringContaining("lease") });
    expect(await notes()).toEqual([]);
  });
});

describe("a fenced transaction under a lease", () => {
  it("commits its writes, its messages and the end together, over one connection", async () => {
    const alone = database.openResources({ max: 1 }, { statementTimeoutMs: 2_000 });
    const { lease } = await alone.held(key);

    const id = await alone.fixture.ledger.transact(
      lease,
      async (tx) => {
        await write(tx, 7);
        return tx.publish("order.paid", { key });
      },
      { ends: true },
    );

    expect(await notes()).toEqual([7]);
    const { rows } = await database.sql.query(
      "select kind, pool, scope, claimant, token, topic, payload from exclaim.outbox where id = $1",
      [id],
    );
    const publisher = { kind: "resource", pool: "order", scope: "{}", claimant: key, token: "1" };
    expect(rows).toEqual([{ ...publisher, topic: "order.paid", payload: { key } }]);
    expect(await driver.lease(key)).toMatchObject({ status: "completed" });
  });

  it("is told TRANSACTION_ABORTED when its work swallowed an error, and nothing was written or ended", async () => {
    const { lease } = await driver.held(key);

    const error = await thrownBy(
      driver.fixture.ledger.transact(
        lease,
        async (tx) => {
          await write(tx, 1);
          await tx.query("select 1 / 0").catch(() => {});
        },
        { ends: true },
      ),
    );

    expect(error.code).toBe("TRANSACTION_ABORTED");
    expect(await notes()).toEqual([]);
    expect(await driver.lease(key)).toMatchObject({ status: "held" });
  });
});

/** A fenced transaction that has written a note and stays open until `commit`. */
async function openTransaction(lease: ResourceRef): Promise<{ commit(): Promise<void> }> {
  let finish = (): void => {};
  const finished = new Promise<void>((resolve) => {
    finish = resolve;
  });
  let begun = (): void => {};
  const hasBegun = new Promise<void>((resolve) => {
    begun = resolve;
  });
  const transaction = driver.fixture.ledger.transact(lease, async (tx) => {
    await write(tx, 1);
    begun();
    await finished;
  });
  await Promise.race([hasBegun, transaction]);
  return {
    commit: () => {
      finish();
      return transaction;
    },
  };
}

async function write(tx: Transaction, amount: number): Promise<void> {
  await tx.query("insert into note (key, amount) values ($1, $2)", [key, amount]);
}

async function notes(): Promise<unknown[]> {
  return database.column("select amount from note where key = $1 order by 1", [key]);
}

async function oneWaits(): Promise<boolean> {
  const sql = "select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
  return (await database.column(sql)).length === 1;
}

async function leaseIsOver(): Promise<void> {
  await eventually(async () => {
    const live = await database.column(
      `select key from exclaim.leases where key = $1 and leased_until > clock_timestamp()
       union all select key from exclaim.lease_sharers where key = $1 and leased_until > clock_timestamp()`,
      [key],
    );
    expect(live).toEqual([]);
  });
}
