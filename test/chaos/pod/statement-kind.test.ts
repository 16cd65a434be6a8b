import pg from "pg";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Claim, createExclaim, type Exclaim } from "../../../src/index.ts";
import { eventually } from "../../support/eventually.ts";
import { type FreshDatabase, freshDatabase } from "../../support/postgres.ts";
import { type Grant, grantsOf } from "./grants-of.ts";
import { statementKind } from "./statement-kind.ts";

const TTL_MS = 1_500;

let database: FreshDatabase;
let watched: pg.Pool;
let exclaim: Exclaim;
const kinds: string[] = [];
const grants: Grant[] = [];

beforeEach(async () => {
  database = await freshDatabase();
  await createExclaim({ database: database.pool }).migrate();
  await database.pool.query("create table voucher_item (id bigint primary key, user_id text)");
  await database.pool.query("insert into voucher_item select i from generate_series(1, 9) i");
  kinds.length = 0;
  grants.length = 0;
  watched = new pg.Pool({ connectionString: database.url });
  watched.on("connect", (client) => {
    const query = client.query.bind(client) as (...given: unknown[]) => Promise<never>;
    Object.assign(client, {
      query: async (...given: readonly [{ readonly text: string; readonly values?: readonly unknown[] }]) => {
        const answer = await query(...given);
        const kind = statementKind(given[0].text ?? "");
        if (kind !== undefined) kinds.push(kind);
        grants.push(...grantsOf(given[0], answer));
        return answer;
      },
    });
  });
  exclaim = createExclaim({ database: watched, ttlMs: TTL_MS });
});

afterEach(async () => {
  await exclaim.close();
  await watched.end();
  await database.drop();
});

describe("the library's statements, told by their texts", () => {
  it.each([
    { title: "a row", claim: (...given: Given) => rows().claim({ claimant: given[0] }, given[1]) },
    { title: "a key", claim: (...given: Given) => exclaim.resource("order").claim({ key: given[0] }, given[1]) },
  ])("are known from the claim of $title to its end, whatever the end is", async ({ claim }) => {
    const outcome = await claim("1", async (held) => held.complete(async (tx) => tx.query("select 1")));
    await claim("2", async () => {});
    await claim("3", async (held) => held.release());
    await claim("4", () => Promise.reject(new Error("planted")));

    expect(outcome).toMatchObject({ status: "completed" });
    expect(kinds.filter((kind) => kind === "claim").length).toBeGreaterThanOrEqual(4);
    expect(kinds).toEqual(expect.arrayContaining(["transaction", "COMMIT", "completion"]));
  });

  it("are told apart where a row goes back", async () => {
    await rows().claim({ claimant: "1" }, async (held) => held.release());
    await rows().claim({ claimant: "2" }, () => Promise.reject(new Error("planted")));

    expect(kinds.filter((kind) => kind === "giving up")).toHaveLength(2);
  });

  it("grant a lease with the claim, and again with each renewal", async () => {
    await rows().claim({ claimant: "1" }, async () => untilRenewed());
    await exclaim.resource("order").claim({ key: "42" }, async () => untilRenewed());

    const row = grants.find(({ resource }) => resource.startsWith("voucher_item:"));
    expect(row).toMatchObject({ token: 1, ttlMs: 1_500 });
    expect(grants.filter(({ resource }) => resource === row?.resource).length).toBeGreaterThan(1);
    expect(grants.filter(({ resource }) => resource === "order:42")[0]).toMatchObject({ token: 1, ttlMs: 1_500 });
    expect(grants.filter(({ resource }) => resource === "order:42").length).toBeGreaterThan(1);
  });
});

type Given = [name: string, handler: (held: Claim<unknown>) => Promise<unknown>];

function rows() {
  return exclaim.pool({ table: "voucher_item", ownerColumn: "user_id" });
}

/** Resolves once a lease was granted twice. */
async function untilRenewed(): Promise<void> {
  const before = grants.length;
  await eventually(() => grants.length > before, { what: "a renewal" });
}
