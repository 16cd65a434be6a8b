import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { systemClock } from "../../src/clock.ts";
import { postgresImports } from "../../src/ledger/postgres-imports.ts";
import {
  chunkOf,
  type EveryImports,
  endOf,
  ID,
  invalid,
  outcome,
  refused,
  row,
  rowsOf,
  START,
} from "../conformance/imports/fixture.ts";
import { type LedgerDatabase, ledgerDatabase, openConnections, thrownBy } from "./ledger-database.ts";

let database: LedgerDatabase;
let role = "";
let roles = 0;

const USAGE = "grant usage on schema exclaim to %r";
/** What an application's role needs, and all it needs, to serve messages of imports. */
const WORKER = [USAGE, "grant select, update on exclaim.import_rows to %r"];
/** What a role needs, and all it needs, to run imports and to look at them. */
const PRODUCER = [
  USAGE,
  "grant select, insert, update on exclaim.imports to %r",
  "grant select, insert, delete on exclaim.import_rows, exclaim.import_rejects to %r",
];
/** What forgetting an import needs on top of that. */
const FORGETTING = "grant delete on exclaim.imports to %r";

beforeAll(async () => {
  database = await ledgerDatabase();
});

afterAll(() => database.drop());

beforeEach(async () => {
  roles += 1;
  role = `exclaim_imports_${process.pid}_${roles}`;
  await database.sql.query(`create role ${role}; truncate exclaim.imports, exclaim.import_rows, exclaim.import_rejects`);
  return async () => void (await database.sql.query(`drop owned by ${role}; drop role ${role}`));
});

describe("a role with the least rights", () => {
  it("serves messages of imports, and tells what became of their rows", async () => {
    const owner = importsOver(database.sql);
    await owner.record(chunkOf(await owner.begin(START), [row("a", 1)]));

    await (await asRole(WORKER)).settle([outcome("a", { state: "claimed", resourceId: "1" })]);

    expect(await owner.get(ID)).toMatchObject({ claimed: 1, pending: 0 });
  });

  it("runs imports, looks at them and cancels them", async () => {
    const producer = await asRole(PRODUCER);
    const first = await producer.begin(START);
    await producer.record(chunkOf(first, [row("a", 1), row("b", 2), row("b", 3)], [invalid(4)]));
    await producer.record(chunkOf(first, [], [refused("a", 1)]));
    const ended = await producer.end({ ...endOf(first), position: 4, rejects: [refused("b", 2)] });
    const published = await producer.get(ID);
    const again = await producer.record(chunkOf(await producer.begin(START), [row("b", 2)]));
    const cancelled = await producer.cancel(ID);

    expect([ended, again, cancelled]).toEqual([true, { status: "recorded", rows: ["publish"] }, true]);
    expect(published).toMatchObject({ rows: 4, rejected: 3, duplicated: 1, state: "finished" });
    expect((await producer.list()).map(({ state }) => state)).toEqual(["cancelled"]);
    expect((await rowsOf(producer)).map(({ line }) => line)).toEqual([1, 2, 3, 4]);
  });

  it("forgets imports where it may delete them", async () => {
    const producer = await asRole(PRODUCER);
    await producer.end({ ...endOf(await producer.begin(START)), status: "stopped" });

    const error = await thrownBy(producer.forget(ID));
    const forgotten = await (await asRole([FORGETTING])).forget(ID);

    expect(error).toMatchObject({ code: "CONFIG_INVALID", message: expect.stringContaining("Database role") });
    expect(forgotten).toBe(true);
  });
});

describe("a role without", () => {
  it.each([
    ["usage of the schema", [], "schema exclaim"],
    ["update on import_rows", [USAGE, "grant select on exclaim.import_rows to %r"], "table import_rows"],
    ["select on import_rows", [USAGE, "grant update on exclaim.import_rows to %r"], "table import_rows"],
  ])("%s is told CONFIG_INVALID when it settles rows, and what it may not", async (_right, grants, names) => {
    const worker = await asRole(grants);

    const error = await thrownBy(worker.settle([outcome("a", { state: "claimed" })]));

    expect(error).toMatchObject({ code: "CONFIG_INVALID", message: expect.stringMatching(`permission denied.*${names}`) });
  });

  it.each(["imports", "import_rows", "import_rejects"])(
    "rights on %s is told CONFIG_INVALID when it runs imports",
    async (table) => {
      const producer = await asRole(PRODUCER);
      await database.sql.query(`revoke all on exclaim.${table} from ${role}`);
      const running = async () => producer.record(chunkOf(await producer.begin(START), [row("a", 1)]));

      const error = await thrownBy(running());

      expect(error).toMatchObject({ code: "CONFIG_INVALID", message: expect.stringContaining(`table ${table}`) });
    },
  );
});

function importsOver(connections: typeof database.sql): EveryImports {
  return postgresImports({ database: connections, clock: systemClock, schema: "exclaim" });
}

/** Sessions that act as the role: it needs no way to log in. */
async function asRole(grants: readonly string[]): Promise<EveryImports> {
  for (const grant of grants) await database.sql.query(grant.replace("%r", role));
  return importsOver(openConnections({ connectionString: database.url, options: `-c role=${role}` }));
}
