import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { latestUnfinished } from "../../src/cli/import/latest-unfinished.ts";
import { type ImportFixture, importFixture } from "./import-fixture.ts";

let fixture: ImportFixture;
let file: string;
beforeAll(async () => {
  fixture = await importFixture();
  file = await fixture.file("staff.csv", "id,name\n1,a\n2\n3\n");
});
afterAll(() => fixture.close());

describe("exclaim import --resume", () => {
  // Planted: no look at the settings.
  it.each([
    ["--queue", ["--queue", "other"]],
    ["--prefix", ["--prefix", "other"]],
    ["--key", ["--key", "name"]],
    ["--map", ["--map", "id=nr", "--map", "name"]],
    ["--format", ["--format", "ndjson"]],
    ["--delimiter", ["--delimiter", ";"]],
  ])("F goes on with no import of --id that was begun with another %s", async (option, other) => {
    const id = `begun-${option.slice(2)}`;
    const line = ["import", file, "--id", id, "--key", "id", "--map", "id", "--map", "name=nr", "--max-rejected", "0"];
    await fixture.line([...line, ...fixture.to]);

    const base = ["import", file, "--id", id, "--resume", "--key", "id", ...fixture.to];
    const mapped = option === "--map" ? [] : ["--map", "name=nr", "--map", "id"];
    const refused = await fixture.line([...base, ...mapped, ...other]);
    const resumed = await fixture.line([...base, "--map", "name=nr", "--map", "id", "--max-rejected", "2"]);

    expect(refused).toMatchObject({ code: 2, stdout: "" });
    expect(refused.stderr).toContain(`import ${id} was begun with another ${option}: `);
    expect(resumed).toMatchObject({ code: 1, stdout: expect.stringContaining("3 rows") });
  });

  it("F goes on by itself with no import of the file that was begun with other settings", async () => {
    const daily = await fixture.file("daily.csv", "id,name\n1,a\n2\n3\n");
    const line = ["import", daily, "--key", "id", "--max-rejected", "0", "--resume", "--json", ...fixture.to];

    const first = await fixture.line(line);
    const other = await fixture.line([...line, "--map", "id"]);
    const again = await fixture.line(line);

    const ids = [first, other, again].map(({ stdout }) => JSON.parse(stdout).id);
    expect(ids[1]).not.toBe(ids[0]);
    expect(ids[2]).toBe(ids[0]);
  });

  // Planted: each import with the count of its rows.
  it("F looks for an unfinished import without counting any rows", async () => {
    const { sql } = fixture.database;
    const settings = { file: "/staff.csv", format: "csv", key: "id", broker: "redis", queue: "voucher" } as const;
    await sql.query(
      `insert into exclaim.imports (id, source, target, settings, status, run) values ('uncounted', '/staff.csv', 'voucher', $1, 'failed', 1)`,
      [JSON.stringify({ kind: "exclaim import", ...settings })],
    );
    const locking = await sql.connect();

    try {
      await locking.query("begin; lock table exclaim.import_rows, exclaim.import_rejects in access exclusive mode");
      const found = await latestUnfinished({ pool: sql, schema: "exclaim" }, settings);

      expect(found).toBe("uncounted");
    } finally {
      await locking.query("rollback");
      locking.release();
    }
  });
});

describe("exclaim import resume", () => {
  // Planted: exit code 0; an object without resumed.
  it("F says of a published import with rejects what the import itself had said", async () => {
    const line = ["import", file, "--id", "published", "--key", "id", "--json", ...fixture.to];
    const first = await fixture.line(line);

    const again = await fixture.line(["import", "resume", "published", "--json"]);

    expect([first.code, again.code]).toEqual([1, 1]);
    expect(Object.keys(JSON.parse(again.stdout)).sort()).toEqual(Object.keys(JSON.parse(first.stdout)).sort());
    expect(JSON.parse(again.stdout)).toMatchObject({ status: "published", resumed: true, rows: 3, published: 0, rejected: 2 });
    expect(again.stderr).toContain("rejected 2 rows: exclaim import report published --state rejected");
  });
});

describe("exclaim import's exit code", () => {
  // Planted: CLAIM_REFUSED is 1, as it is of a claim.
  it("F is 4 when the database refuses the import", async () => {
    await fixture.database.sql.query(`
      create function refuse() returns trigger language plpgsql as $$ begin raise exception 'closed for today'; end $$;
      create trigger refuse before insert on exclaim.imports for each row when (new.id = 'refused') execute function refuse()`);

    const refused = await fixture.line(["import", file, "--id", "refused", "--key", "id", ...fixture.to]);

    expect(refused).toMatchObject({ code: 4, stdout: "", stderr: expect.stringContaining("exclaim: CLAIM_REFUSED: ") });
  });
});
