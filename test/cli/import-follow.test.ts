import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Interrupted } from "../../src/cli/exit-codes.ts";
import { employees, type ImportFixture, importFixture } from "./import-fixture.ts";

let fixture: ImportFixture;
beforeAll(async () => {
  fixture = await importFixture();
  const file = await fixture.file("staff.csv", 'id,name\n1,a\n2,b\n3,"c"\n4\n1,e\n');
  await fixture.line(["import", file, "--id", "staff", "--key", "id", ...fixture.to]);
  await settle("1", "claimed", "voucher_item", null, null);
  await settle("2", "refused", "voucher_item", "REFUSED", 'none left, "sorry"');
});
afterAll(() => fixture.close());

describe("exclaim import status", () => {
  it("F says what became of the rows, in numbers that add up", async () => {
    const text = await fixture.line(["import", "status", "staff"]);
    const json = await fixture.line(["import", "status", "staff", "--json"]);

    expect(text.code).toBe(0);
    expect(text.stdout).toContain(
      "5 rows = 1 pending + 1 claimed + 0 replayed + 1 refused + 0 dead-lettered + 1 rejected + 1 duplicated",
    );
    expect(JSON.parse(json.stdout)).toMatchObject({
      id: "staff",
      state: "published",
      rows: 5,
      pending: 1,
      settings: { key: "id" },
    });
    expect(json.stdout).not.toContain("redis://");
  });

  it("F waits with --watch until every row is accounted for, and exits with 1 where some were refused", async () => {
    const settled = fixture.line(["import", "status", "staff", "--watch"], {
      onStderr: (text) =>
        text.includes("1 pending") && void settle("3", "dead-lettered", "voucher_item", "TIMEOUT", "too late"),
    });

    const { code, stdout } = await settled;

    expect(code).toBe(1);
    expect(stdout).toMatch(/state +finished\n/);
    await settle("3", "pending", null, null, null);
  });

  it("ends a watch with the signal's code", async () => {
    const interrupt = new AbortController();

    const { code, stderr } = await fixture.line(["import", "status", "staff", "--watch"], {
      signal: interrupt.signal,
      onStderr: (text) => text.includes("1 pending") && interrupt.abort(new Interrupted("SIGINT")),
    });

    expect(code).toBe(130);
    expect(stderr).toContain("exclaim: interrupted by SIGINT");
  });
});

describe("exclaim import report", () => {
  it("F prints every row in the order of the file, as CSV", async () => {
    const { code, stdout } = await fixture.line(["import", "report", "staff"]);

    const lines = stdout.split("\r\n");
    expect(code).toBe(0);
    expect(lines[0]).toBe("line,key,state,pool,resource_id,code,reason,settled_at");
    expect(lines[1]).toMatch(/^2,1,claimed,voucher_item,,,,\d{4}-/);
    expect(lines[2]).toMatch(/^3,2,refused,voucher_item,,REFUSED,"none left, ""sorry""",\d{4}-/);
    expect(lines[3]).toBe("4,3,pending,,,,,");
    expect(lines[4]).toMatch(/^5,,rejected,,,ROW_INVALID,/);
    expect(lines[5]).toMatch(/^6,1,duplicated,/);
    expect(lines).toHaveLength(7);
  });

  it("F prints the states asked for, as NDJSON", async () => {
    const { stdout } = await fixture.line(["import", "report", "staff", "--state", "claimed,pending", "--format", "ndjson"]);
    const wrong = await fixture.line(["import", "report", "staff", "--state", "lost"]);

    const rows = stdout.trim().split("\n");
    expect(rows.map((row) => JSON.parse(row).state)).toEqual(["claimed", "pending"]);
    expect(wrong).toMatchObject({ code: 2, stderr: expect.stringContaining("Allowed are pending, claimed") });
  });

  // Planted: a write whose failure is thrown.
  it("ends quietly once nobody reads on", async () => {
    const { code, stdout, stderr } = await fixture.line(["import", "report", "staff"], { reads: 0 });

    expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: "", stderr: "" });
  });

  it("is IMPORT_UNKNOWN and 1 for an import that is not there", async () => {
    const { code, stdout, stderr } = await fixture.line(["import", "report", "nobody"]);

    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toContain("IMPORT_UNKNOWN");
  });
});

describe("exclaim import list and cancel", () => {
  it("F cancels what is under way, which ends with 4, and can be resumed", async () => {
    const file = await fixture.file("long.csv", employees(100));
    const cancelled: Promise<{ code: number; stdout: string }>[] = [];

    const run = await fixture.line(
      ["import", file, "--id", "long", "--key", "id", "--chunk", "5", ...fixture.to, "--max-backlog", "20"],
      {
        typed: "",
        onStderr: (text) => text.includes("% read") && cancelled.push(fixture.line(["import", "cancel", "long"])),
      },
    );
    const [cancel] = await Promise.all(cancelled);
    const list = await fixture.line(["import", "list"]);
    const resumed = await fixture.line(["import", "resume", "long", "--max-backlog", "100000"]);

    expect(cancel).toMatchObject({ code: 0, stdout: expect.stringContaining("is cancelled") });
    expect(run).toMatchObject({
      code: 4,
      stderr: expect.stringContaining("was cancelled; go on with: exclaim import resume long"),
    });
    expect(list.stdout).toMatch(/^IMPORT +STATE +ROWS.*\nlong +cancelled +\d+/);
    expect(resumed.code).toBe(0);
  });

  it("F has nothing to cancel of an import that is published, or is not there", async () => {
    const published = await fixture.line(["import", "cancel", "staff"]);
    const unknown = await fixture.line(["import", "cancel", "nobody"]);

    expect(published).toMatchObject({ code: 1, stdout: "", stderr: expect.stringContaining("is published") });
    expect(unknown).toMatchObject({ code: 1, stderr: expect.stringContaining("IMPORT_UNKNOWN") });
  });

  it("F lists imports as JSON, one a line", async () => {
    const { stdout } = await fixture.line(["import", "list", "--json", "--limit", "1"]);

    expect(stdout.trim().split("\n")).toHaveLength(1);
    expect(JSON.parse(stdout)).toMatchObject({ id: "long", createdAt: expect.stringMatching(/^\d{4}-/) });
  });
});

async function settle(
  key: string,
  state: string,
  pool: string | null,
  code: string | null,
  reason: string | null,
): Promise<void> {
  await fixture.database.sql.query(
    `update exclaim.import_rows set state = $2, pool = $3, code = $4, reason = $5,
      settled_at = case when $2 = 'pending' then null else now() end where import_id = 'staff' and row_key = $1`,
    [key, state, pool, code, reason],
  );
}
