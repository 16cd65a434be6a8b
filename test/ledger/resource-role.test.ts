import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { ResourceDriver } from "../conformance/resource/fixture.ts";
import { thrownBy } from "./ledger-database.ts";
import { type ResourceDatabase, resourceDatabase } from "./resource-database.ts";

let database: ResourceDatabase;
let role = "";
let roles = 0;

/** What an application's role needs, and all it needs: no DDL, no ownership, and DELETE only where sharers leave. */
const GRANTS = {
  schema: "grant usage on schema exclaim to %r",
  leases: "grant select, insert, update on exclaim.leases to %r",
  sharers: "grant select, insert, update, delete on exclaim.lease_sharers to %r",
  floor: "grant select, update on exclaim.lease_floor to %r",
  outbox: "grant insert on exclaim.outbox to %r",
  outboxId: "grant select (id) on exclaim.outbox to %r",
};

beforeAll(async () => {
  database = await resourceDatabase();
});

afterAll(() => database.drop());

beforeEach(async () => {
  roles += 1;
  role = `exclaim_resources_${process.pid}_${roles}`;
  await database.sql.query(`create role ${role}`);
  return async () => {
    await database.sql.query(`drop owned by ${role}`);
    await database.sql.query(`drop role ${role}`);
  };
});

describe("a role with the least rights", () => {
  it("takes, shares, renews, ends, writes under the fence and publishes", async () => {
    await grantAllBut();
    const app = asRole();

    const first = await app.held("42");
    const renewed = await app.renew(first.lease);
    const ended = await app.end(first.lease, "failed");
    const again = await app.held("42");
    const published = await app.fixture.ledger.transact(again.lease, (tx) => tx.publish("order.paid", 1), { ends: true });
    const readers = [await app.held("42", { mode: "shared" }), await app.held("42", { mode: "shared" })];
    const left = [];
    for (const { lease } of readers) left.push(await app.end(lease));
    const crashed = await app.held("42", { mode: "shared", ttlMs: 1 });
    await app.fixture.elapse(5);
    const next = await app.held("42");

    expect([renewed, ended, left]).toEqual(["done", "done", ["done", "done"]]);
    expect([again.attempt, crashed.lease.token, next.lease.token]).toEqual([2, 4n, 5n]);
    expect(await database.column("select id from exclaim.outbox where claimant = '42'")).toEqual([published]);
  });

  it("may not forget leases", async () => {
    await grantAllBut();

    const forgetting = asRole().fixture.ledger.transact((await asRole().held("43")).lease, (tx) =>
      tx.query("select exclaim.forget_leases('0 s')"),
    );

    await expect(forgetting).rejects.toMatchObject({ code: "42501" });
  });
});

describe("a role without", () => {
  const missing: [right: keyof typeof GRANTS, use: (app: ResourceDriver) => Promise<unknown>, names: string][] = [
    ["schema", (app) => app.take("42"), "schema exclaim"],
    ["leases", (app) => app.take("42"), "table leases"],
    ["sharers", (app) => app.take("42", { mode: "shared" }), "table lease_sharers"],
    ["floor", (app) => app.take("44"), "table lease_floor"],
    [
      "outbox",
      async (app) => app.fixture.ledger.transact((await app.held("45")).lease, (tx) => tx.publish("topic", null)),
      "table outbox",
    ],
  ];
  for (const [right, use, names] of missing) {
    it(`"${GRANTS[right]}" is told CONFIG_INVALID and what it may not`, async () => {
      await grantAllBut(right);

      const error = await thrownBy(use(asRole()));

      expect(error).toMatchObject({ code: "CONFIG_INVALID", message: expect.stringMatching(`permission denied.*${names}`) });
    });
  }
});

async function grantAllBut(left?: keyof typeof GRANTS): Promise<void> {
  for (const [right, grant] of Object.entries(GRANTS)) {
    if (right !== left) await database.sql.query(grant.replace("%r", role));
  }
}

/** Sessions that act as the role: it needs no way to log in. */
function asRole(): ResourceDriver {
  return database.openResources({ options: `-c role=${role}` });
}
