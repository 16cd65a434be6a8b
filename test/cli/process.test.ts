import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventually } from "../support/eventually.ts";
import { employees, type ImportFixture, importFixture } from "./import-fixture.ts";

const MAIN = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));

let fixture: ImportFixture;
beforeAll(async () => {
  fixture = await importFixture();
});
afterAll(() => fixture.close());

describe("the process of the command line", () => {
  it("F ends an import on a chunk at SIGINT, with 130, and leaves it to be resumed", async () => {
    const file = await fixture.file("held.csv", employees(400));
    const args = ["import", file, "--id", "held", "--key", "id", "--chunk", "50", "--max-backlog", "100", ...fixture.to];
    const { child, text } = start(args);

    await eventually(async () => (await fixture.queue.getWaitingCount()) >= 100, { what: "a full queue" });
    child.kill("SIGINT");
    const [code] = await once(child, "exit");

    expect(code).toBe(130);
    expect(text()).toContain("go on with: exclaim import resume held");
    const { rows } = await fixture.database.sql.query("select status from exclaim.imports where id = 'held'");
    expect(rows).toEqual([{ status: "stopped" }]);
  });

  it("ends at once at the second SIGINT, though a server is silent", async () => {
    const silent = createServer(() => {});
    await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
    const { port } = silent.address() as { port: number };
    const connected = once(silent, "connection");
    const { child, text } = start(["claims", "list"], { DATABASE_URL: `postgres://me:k4nar1@127.0.0.1:${port}/db` });

    await connected;
    child.kill("SIGINT");
    await eventually(() => text().includes("a second one"), { what: "the first SIGINT to be heard" });
    child.kill("SIGINT");
    const [code] = await once(child, "exit");

    expect(code).toBe(130);
    // What is told at the end of an orderly end.
    expect(text()).not.toContain("interrupted by");
    silent.close();
  });

  it("F ends a report quietly when its reader has seen enough", async () => {
    await fixture.database.sql.query(`
      insert into exclaim.imports (id, source, target, status, run, rows, position, published_at)
        values ('big', 'big.csv', 'x', 'published', 1, 20000, 20000, now());
      insert into exclaim.import_rows (import_id, row_key, line) select 'big', i::text, i from generate_series(1, 20000) i`);
    const { child, text } = start(["import", "report", "big"]);

    await once(child.stdout ?? child, "data");
    child.stdout?.destroy();
    const [code] = await once(child, "exit");

    expect(code).toBe(0);
    expect(text()).toBe("");
  });
});

function start(
  args: readonly string[],
  env: Record<string, string> = fixture.env,
): { child: ChildProcess; text: () => string } {
  let stderr = "";
  const child = spawn(process.execPath, [MAIN, ...args], {
    env: { PATH: process.env.PATH, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  child.stderr.on("data", (piece: Buffer) => {
    stderr += piece;
  });
  return { child, text: () => stderr };
}
