import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { systemClock } from "../../src/clock.ts";
import type { EndAnswer } from "../../src/ledger/ledger.ts";
import { migrate } from "../../src/ledger/migrate.ts";
import type { ResourceLedger, ResourceRef, ResourceTransactions } from "../../src/ledger/resource-ledger.ts";
import { asHeld, type ResourceDriver } from "../conformance/resource/fixture.ts";
import { openConnections, thrownBy } from "./ledger-database.ts";
import { type ResourceDatabase, resourceDatabase, resourcesOver } from "./resource-database.ts";
import { SAID, throughProxy } from "./through-proxy.ts";

/** What only the statement in question says. */
const SAYS = { exclusive: "spacing", shared: "entered as", renew: "renewed as", end: "left_group", commit: SAID.commit };

let database: ResourceDatabase;
let key: string;
let tests = 0;

beforeAll(async () => {
  database = await resourceDatabase();
  await database.sql.query("create table note (key text)");
});

afterAll(() => database.drop());

beforeEach(() => {
  tests += 1;
  key = `key-${tests}`;
});

describe("a take whose answer is lost", () => {
  for (const mode of ["exclusive", "shared"] as const) {
    // Planted: a holder that is not recognised (`own` false): the exclusive call was contended for the whole lease, the shared one held
    // under a second lease.
    it(`S5 was made: the same holder asks again and is given the same token, each of the batch its own: ${mode}`, async () => {
      const { driver, proxy } = await proxied();
      const keys = [key, `${key} b`, `${key} c`];
      const wish = { mode, holder: "the same delivery" };

      void proxy.loseAnswer(SAYS[mode]);
      const error = await thrownBy(driver.takeMany(keys, wish));
      const made = await database.resources.fixture.leases();
      const answers = await driver.takeMany(keys, wish);

      expect(error.code).toBe("DATABASE_UNREACHABLE");
      const found = made.filter((lease) => keys.includes(lease.key)).map(({ token }) => token);
      expect(found).toEqual([1n, 1n, 1n]);
      expect(answers.map((answer) => [asHeld(answer).lease.token, asHeld(answer).attempt])).toEqual(Array(3).fill([1n, 1]));
      expect((await driver.take(key)).status).toBe("contended");
      const [answer] = answers;
      await driver.end(asHeld(answer).lease);
      expect((await driver.held(key)).lease.token).toBe(2n);
    });
  }

  it("S5 was not made when it never reached the server, and is made by the next call", async () => {
    const { driver, proxy } = await proxied();

    void proxy.cutBefore(SAYS.exclusive);
    const error = await thrownBy(driver.take(key, { holder: "the same delivery" }));
    const before = await database.resources.lease(key);
    const answer = await driver.held(key, { holder: "the same delivery" });

    expect([error.code, before]).toEqual(["DATABASE_UNREACHABLE", undefined]);
    expect(answer.lease.token).toBe(1n);
  });

  it("S5 ends within the time limit when the connection stays silent", async () => {
    const { driver, proxy } = await proxied({ statementTimeoutMs: 300 });

    void proxy.loseAnswer(SAYS.exclusive, { silently: true });
    const error = await thrownBy(driver.take(key, { holder: "the same delivery" }));

    expect(error.code).toBe("DATABASE_UNREACHABLE");
    expect((await driver.held(key, { holder: "the same delivery" })).lease.token).toBe(1n);
  });
});

describe("an end or a renewal whose answer is lost", () => {
  const changes: [
    what: "end" | "renew",
    change: (ledger: ResourceLedger, lease: ResourceRef) => Promise<readonly EndAnswer[]>,
  ][] = [
    ["end", (ledger, lease) => ledger.end([{ lease, how: "completed" }])],
    ["renew", (ledger, lease) => ledger.renew([lease], 60_000)],
  ];
  for (const [what, change] of changes) {
    for (const mode of ["exclusive", "shared"] as const) {
      it(`S5 is told done when asked again: ${what}, ${mode}`, async () => {
        const { driver, proxy } = await proxied();
        const { lease } = await driver.held(key, { mode });

        void proxy.loseAnswer(SAYS[what]);
        const error = await thrownBy(change(driver.fixture.ledger, lease));
        const again = await change(driver.fixture.ledger, lease);

        expect(error.code).toBe("DATABASE_UNREACHABLE");
        expect(again).toEqual(["done"]);
        expect((await driver.take(key)).status).toBe(what === "end" ? "held" : "contended");
      });
    }
  }
});

describe("a fenced transaction under a lease whose COMMIT is not answered", () => {
  it("S5 is found committed, with its end", async () => {
    const { driver, proxy } = await proxied({ max: 4 });
    const { lease } = await driver.held(key);

    const lost = proxy.loseAnswer(SAYS.commit);
    await driver.fixture.ledger.transact(lease, (tx) => tx.query("insert into note values ($1)", [key]), { ends: true });
    await lost;

    expect(await database.column("select key from note where key = $1", [key])).toEqual([key]);
    expect(await database.resources.lease(key)).toMatchObject({ status: "completed" });
  });

  it("S5 is found undone when COMMIT never reached the server, and the lease is still held", async () => {
    const { driver, proxy } = await proxied({ max: 4 });
    const { lease } = await driver.held(key);

    const cut = proxy.cutBefore(SAYS.commit);
    const error = await thrownBy(
      driver.fixture.ledger.transact(lease, (tx) => tx.query("insert into note values ($1)", [key]), { ends: true }),
    );
    await cut;

    expect(error.code).toBe("DATABASE_UNREACHABLE");
    expect(await database.column("select key from note where key = $1", [key])).toEqual([]);
    expect(await database.resources.lease(key)).toMatchObject({ status: "held" });
  });
});

describe("a ledger of leases", () => {
  const uses: [what: string, use: (ledger: ResourceLedger & ResourceTransactions, lease: ResourceRef) => Promise<unknown>][] = [
    ["take", (ledger, { resource, holder }) => ledger.take({ resource, ttlMs: 1, requests: [request(holder, "exclusive")] })],
    [
      "shared take",
      (ledger, { resource, holder }) => ledger.take({ resource, ttlMs: 1, requests: [request(holder, "shared")] }),
    ],
    ["renew", (ledger, lease) => ledger.renew([lease], 30_000)],
    ["end", (ledger, lease) => ledger.end([{ lease, how: "failed" }])],
    ["transact", (ledger, lease) => ledger.transact(lease, async () => {})],
  ];
  const lease: ResourceRef = { resource: "order", key: "42", holder: "a", token: 1n };

  for (const [what, use] of uses) {
    it(`whose schema is older says so at ${what}, and to call migrate()`, async () => {
      await migrate(database.sql, systemClock, "older");
      await database.sql.query("drop table if exists older.leases");
      const driver = resourcesOver(database.sql, database.sql, { schema: "older" });

      const error = await thrownBy(use(driver.fixture.ledger, lease));

      expect(error).toMatchObject({ code: "SCHEMA_OUTDATED", message: expect.stringContaining("call exclaim.migrate()") });
    });

    it(`whose server is away says DATABASE_UNREACHABLE at ${what}`, async () => {
      const away = openConnections({ host: "127.0.0.1", port: 1 });

      const error = await thrownBy(use(resourcesOver(database.sql, away).fixture.ledger, lease));

      expect(error.code).toBe("DATABASE_UNREACHABLE");
    });
  }

  // Planted: a batch that is not split when the server refuses it: the whole call was refused.
  it("refuses alone the request whose data the server does not take", async () => {
    const driver = database.resources;
    const keys = ["a", "b", "with a NUL \0", "c"].map((name) => `${key} ${name}`);

    for (const mode of ["exclusive", "shared"] as const) {
      const answers = await driver.takeMany(keys, { mode });

      expect(answers[2]).toMatchObject({ status: "refused", error: { code: "CLAIM_REFUSED" } });
      const expected = mode === "exclusive" ? "held" : "contended";
      expect(answers.map(({ status }) => status)).toEqual([expected, expected, "refused", expected]);
    }
  });

  function request(holder: string, mode: "exclusive" | "shared") {
    return { key: "42", holder, mode, spacing: { from: "none" }, messageId: null } as const;
  }
});

async function proxied(options: { max?: number; statementTimeoutMs?: number } = {}) {
  const { proxy, connections } = await throughProxy(database, options);
  const { statementTimeoutMs = 5_000 } = options;
  const driver: ResourceDriver = resourcesOver(database.sql, connections, { statementTimeoutMs });
  return { proxy, driver };
}
