import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { LAPSE_MS, type ResourceDriver, SHORT_TTL_MS } from "../conformance/resource/fixture.ts";
import { eventually } from "../support/eventually.ts";
import { closeGate, createGate, pausingAt } from "./pause.ts";
import { type ResourceDatabase, resourceDatabase } from "./resource-database.ts";

const ISOLATIONS = ["read committed", "repeatable read", "serializable"];

let database: ResourceDatabase;
let driver: ResourceDriver;

beforeAll(async () => {
  database = await resourceDatabase();
  driver = database.resources;
  await createGate(database);
});

afterAll(() => database.drop());

beforeEach(() =>
  database.sql.query("truncate exclaim.leases, exclaim.lease_sharers; update exclaim.lease_floor set token = 0"),
);

describe("forget_leases()", () => {
  it("removes what ended, failed or ran out longer ago, and nothing that somebody has, shares, or may not take yet", async () => {
    for (const [key, how] of [
      ["completed", "completed"],
      ["failed", "failed"],
    ] as const) {
      await driver.end((await driver.held(key)).lease, how);
    }
    await driver.held("ran out", { ttlMs: SHORT_TTL_MS });
    await driver.held("share ran out", { mode: "shared", ttlMs: SHORT_TTL_MS });
    await driver.end((await driver.held("share ended", { mode: "shared" })).lease);
    await driver.held("lives");
    await driver.held("is shared", { mode: "shared", ttlMs: SHORT_TTL_MS });
    await driver.held("is shared", { mode: "shared" });
    await driver.end((await driver.held("rests", { spacing: { from: "start", minIntervalMs: 30_000 } })).lease);
    await driver.fixture.elapse(LAPSE_MS);

    const tooYoung = await forget("1 hour");
    const forgotten = await forget("0 s");

    expect([tooYoung, forgotten]).toEqual([0, 5]);
    expect(await database.column("select key from exclaim.leases order by 1")).toEqual(["is shared", "lives", "rests"]);
    expect(await database.column("select key from exclaim.lease_sharers")).toEqual(["is shared"]);
  });

  it("removes sharers who crashed, from a group that lives on", async () => {
    const crashed = await driver.held("42", { mode: "shared", ttlMs: SHORT_TTL_MS });
    const living = await driver.held("42", { mode: "shared" });
    await driver.fixture.elapse(LAPSE_MS);

    const forgotten = await forget("0 s");

    expect(forgotten).toBe(0);
    expect(await driver.lease("42")).toMatchObject({ sharers: 1 });
    expect([await driver.renew(crashed.lease), await driver.renew(living.lease)]).toEqual(["lost", "done"]);
  });

  it("counts from the end of a lease that was renewed, and from the last sharer's", async () => {
    const exclusive = await driver.held("exclusive", { ttlMs: SHORT_TTL_MS });
    const shared = await driver.held("shared", { mode: "shared", ttlMs: SHORT_TTL_MS });
    await driver.fixture.elapse(LAPSE_MS);
    await driver.fixture.ledger.renew([exclusive.lease, shared.lease], 1);
    await driver.fixture.elapse(5);

    const forgotten = await forget("150 ms");

    expect(forgotten).toBe(0);
    expect(await driver.fixture.ledger.renew([exclusive.lease, shared.lease], 1)).toEqual(["done", "done"]);
  });

  it("takes an interval below zero for zero", async () => {
    await driver.held("lives");
    await driver.held("is shared", { mode: "shared" });

    expect(await forget("-1 day")).toBe(0);
  });

  it("removes as many as it is told at most, and says how many, until none is left", async () => {
    for (let count = 0; count < 5; count += 1) await driver.end((await driver.held(`key-${count}`)).lease);

    const counts = [await forget("0 s", 2), await forget("0 s", 2), await forget("0 s", 2), await forget("0 s", 2)];

    expect(counts).toEqual([2, 2, 1, 0]);
  });

  // Planted: a group's live sharers looked at only where its lease is removed: it took the place of one that could be.
  it("counts no lease that lives into that", async () => {
    await driver.held("is shared", { mode: "shared", ttlMs: 1 });
    await driver.held("is shared", { mode: "shared" });
    await driver.held("lives");
    await driver.end((await driver.held("ended")).lease);

    const forgotten = await forget("0 s", 1);

    expect(forgotten).toBe(1);
  });

  it("passes over a lease that a transaction holds", async () => {
    const { lease } = await driver.held("42", { ttlMs: 1 });
    await driver.fixture.elapse(5);

    const forgotten = await driver.fixture.ledger.transact(lease, async () => forget("0 s"));

    expect(forgotten).toBe(0);
    expect(await driver.end(lease)).toBe("done");
  });
});

describe("sharers who crashed", () => {
  for (const mode of ["exclusive", "shared"] as const) {
    // Planted: `dropped` left out of the takes: a row stayed for every reader that ever crashed.
    it(`are removed by the next take of their key: ${mode}`, async () => {
      for (let count = 0; count < 3; count += 1) await driver.held("42", { mode: "shared", ttlMs: 1 });
      await driver.held("other", { mode: "shared" });
      await driver.fixture.elapse(5);

      const { lease } = await driver.held("42", { mode });

      const expected = mode === "shared" ? [lease.holder] : [];
      expect(await database.column("select holder from exclaim.lease_sharers where key = '42'")).toEqual(expected);
      expect(await database.column("select key from exclaim.lease_sharers where key = 'other'")).toEqual(["other"]);
    });
  }
});

describe("a key that comes back after it was forgotten", () => {
  // Planted: keys added with token 1 instead of above the floor; a floor that is the lowest token forgotten.
  it("S3 starts above every token it had, and so does a key that is new: exclusive and shared", async () => {
    for (let turn = 0; turn < 3; turn += 1) await driver.end((await driver.held("often")).lease);
    await driver.end((await driver.held("once")).lease);
    const stale = (await driver.held("42", { ttlMs: 1 })).lease;
    await driver.fixture.elapse(5);
    expect(await forget("0 s")).toBe(3);

    const tokens = [];
    for (const [key, mode] of [
      ["often", "exclusive"],
      ["once", "shared"],
      ["new", "exclusive"],
    ] as const) {
      tokens.push((await driver.held(key, { mode })).lease.token);
    }
    const again = await driver.held("42");

    expect(tokens).toEqual([4n, 4n, 4n]);
    expect(again).toMatchObject({ attempt: 1, resumed: false, lease: { token: 4n } });
    expect([await driver.end(stale), await driver.renew(stale)]).toEqual(["lost", "lost"]);
  });

  it("S3 starts above it though others with lower tokens were forgotten later", async () => {
    for (let turn = 0; turn < 3; turn += 1) await driver.end((await driver.held("often")).lease);
    await driver.held("once");
    await forget("0 s");
    await driver.end({ resource: "order", key: "once", holder: "", token: 1n });
    await database.sql.query("update exclaim.leases set leased_until = clock_timestamp() where key = 'once'");
    await forget("0 s");

    const again = await driver.held("often");

    expect(again.lease.token).toBe(4n);
  });
});

describe("a take that is about to add a key", () => {
  let restore = "";

  /** The floor is read at the gate: `before` it is read, or `after` it was. */
  async function pauseAtFloor(when: "before" | "after"): Promise<void> {
    const [definition] = await database.column("select pg_get_functiondef('exclaim.last_forgotten_token()'::regprocedure)");
    restore = String(definition);
    const [head, body] = restore.split(/begin\n/);
    const gate = "  perform public.gate(1);\n";
    const paused =
      when === "before" ? `${head}begin\n${gate}${body}` : `${head}begin\n${body?.replace("\nend", `\n${gate}end`)}`;
    await database.sql.query(paused);
  }

  afterEach(async () => {
    await database.sql.query(restore);
  });

  for (const isolation of ISOLATIONS) {
    const level = `-c default_transaction_isolation=${isolation.replace(" ", "\\ ")}`;
    const paused = (): ResourceDriver => database.openResources({ options: `${pausingAt().options} ${level}` });

    // Planted: `left join lease_floor` in the place of last_forgotten_token(), which reads with the snapshot of the statement: token 1
    // again, under read committed.
    for (const mode of ["exclusive", "shared"] as const) {
      it(`S3 starts above a lease that was taken and forgotten since it began, under ${isolation}: ${mode}`, async () => {
        await pauseAtFloor("before");
        const gate = await closeGate(database);
        const taking = paused().held("42", { mode });
        await gate.isWaitedAt();
        for (let turn = 0; turn < 3; turn += 1) await driver.end((await driver.held("42")).lease);
        expect(await forget("0 s")).toBe(1);

        await gate.open();

        expect((await taking).lease.token).toBe(4n);
      });
    }

    // Planted: `for key share skip locked` left out: the key was forgotten with token 1, and added with token 1.
    it(`S3 keeps leases from being forgotten between the floor it read and the key it adds, under ${isolation}`, async () => {
      await pauseAtFloor("after");
      const gate = await closeGate(database);
      const taking = paused().take("42");
      await gate.isWaitedAt();
      await driver.end((await driver.held("42")).lease);
      const forgetting = forget("0 s");
      await eventually(async () => {
        const sql = `select 1 from pg_stat_activity where datname = current_database()
          and wait_event_type = 'Lock' and query like '%forget_leases%'`;
        expect(await database.column(sql)).toHaveLength(1);
      });

      await gate.open();
      const answer = await taking;
      await forgetting;

      // The other's token was 1. Whoever is told to come back finds the next.
      const { lease } = answer.status === "held" ? answer : await eventually(() => driver.held("42"));
      expect(lease.token).toBe(2n);
    });
  }

  it("is told to come back in an instant while leases are being forgotten, and known keys are taken meanwhile", async () => {
    restore = "select 1";
    await driver.end((await driver.held("known")).lease);
    const forgetting = await database.sql.connect();
    await forgetting.query("begin");
    await forgetting.query("select exclaim.forget_leases('1 hour')");

    const during = await driver.takeMany(["known", "new"]);
    await forgetting.query("commit");
    forgetting.release();
    const after = await driver.take("new");

    expect(during[0]?.status).toBe("held");
    expect(during[1]).toEqual({ status: "contended", retryAfterMs: 100, tooEarly: false });
    expect(after.status).toBe("held");
  });
});

async function forget(olderThan: string, atMost?: number): Promise<number> {
  const limit = atMost === undefined ? "" : `, ${atMost}`;
  const [count] = await database.column(`select exclaim.forget_leases('${olderThan}'${limit})::int`);
  return Number(count);
}
