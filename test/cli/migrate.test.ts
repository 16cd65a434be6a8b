import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { systemClock } from "../../src/clock.ts";
import { migrate, readMigrations } from "../../src/ledger/migrate.ts";
import { type FreshDatabase, freshDatabase } from "../support/postgres.ts";
import { runLine } from "./run-line.ts";

let database: FreshDatabase;
beforeAll(async () => {
  database = await freshDatabase();
});
afterAll(() => database.drop());

describe("exclaim migrate", () => {
  it("applies what is missing, says what, and then that there is nothing to do", async () => {
    const env = { DATABASE_URL: database.url };

    const first = await runLine(["migrate", "--schema", "one"], { env });
    const second = await runLine(["migrate", "--schema", "one"], { env });
    const third = await runLine(["migrate", "--schema", "one", "--json"], { env });

    expect(first).toMatchObject({ code: 0, stdout: expect.stringMatching(/^applied 0001-claims-ledger\.sql\n/), stderr: "" });
    expect(second).toMatchObject({ code: 0, stdout: "schema one is up to date\n" });
    expect(JSON.parse(third.stdout)).toEqual({ schema: "one", applied: [] });
  });

  // Planted: a script that records no migration.
  it("prints without a database what another runs, after which nothing is left to do", async () => {
    const { code, stdout } = await runLine(["migrate", "--print", "--schema", 'odd"name']);
    await database.pool.query(stdout);

    const left = await migrate(database.pool, systemClock, 'odd"name');

    expect(code).toBe(0);
    expect(left).toEqual([]);
  });

  it("prints what comes after a migration alone", async () => {
    const names = (await readMigrations()).map(({ name }) => name);

    const { stdout } = await runLine(["migrate", "--print", "--after", "0006-share-leases"]);
    const unknown = await runLine(["migrate", "--print", "--after", "0006"]);

    expect(names.filter((name) => stdout.includes(`values ('${name}')`))).toEqual(names.slice(6));
    expect(unknown).toMatchObject({ code: 2, stderr: expect.stringContaining('no migration "0006"') });
  });
});
