import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { redisUrl } from "../support/redis.ts";
import { type ImportFixture, importFixture, importId, jobKeys } from "./import-fixture.ts";
import type { ImportTask } from "./import-program.ts";

const PROGRAM = fileURLToPath(new URL("./import-program.ts", import.meta.url));

let fixture: ImportFixture;

beforeAll(async () => {
  fixture = await importFixture();
});

afterAll(async () => {
  await fixture.close();
});

describe("a fan-out whose process is killed", () => {
  // Planted: the position moved when a chunk is recorded, and rows published before they are recorded.
  it("F8 publishes at most two chunks again, loses no row, doubles none, and its report adds up", async () => {
    const queue = fixture.openQueue();
    const id = importId();
    // Every fifth row is invalid, and every seventh is the one before it again.
    const keys = Array.from({ length: 1_500 }, (_, at) => (at % 5 === 4 ? "" : at % 7 === 6 ? `k${at - 1}` : `k${at}`));
    const csv = `id,name\n${keys.map((key) => `${key},x\n`).join("")}`;
    const expected = [...new Set(keys.filter((key) => key !== ""))];
    const invalid = keys.filter((key) => key === "").length;
    const task = { id, csv, databaseUrl: fixture.database.url, redisUrl: redisUrl(), queue: queue.name };

    const [first, afterKill] = [await runProgram(task, 400), await jobKeys(queue, id)];
    const killed = await fixture.imports.get(id);
    const { position } = (await fixture.database.sql.query("select position from exclaim.imports where id = $1", [id])).rows[0];
    await runProgram(task);

    const arrived = await jobKeys(queue, id);
    const status = await fixture.imports.get(id);
    expect(first).toBe("SIGKILL");
    expect([killed?.state, afterKill.length < expected.length]).toEqual(["running", true]);
    expect(new Set(keys.slice(0, Number(position)).filter((key) => key !== "" && !afterKill.includes(key)))).toEqual(new Set());
    expect(keys.slice(Number(position) + 40).filter((key) => key !== "" && afterKill.includes(key))).toEqual([]);
    expect(arrived).toEqual(expected);
    expect(status).toMatchObject({
      state: "published",
      rows: 1_500,
      pending: expected.length,
      rejected: invalid,
      duplicated: 1_500 - expected.length - invalid,
    });
  });
});

/** Runs the program to its end, or kills it once it says that so many rows are behind. Answers how it ended. */
async function runProgram(task: ImportTask, killAtRow = Number.POSITIVE_INFINITY): Promise<unknown> {
  const program = spawn(process.execPath, ["--import", "tsx", PROGRAM, JSON.stringify(task)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let output = "";
  program.stdout.on("data", (text) => {
    output += text;
    if (Number(output.trim().split("\n").at(-1)) >= killAtRow) program.kill("SIGKILL");
  });
  const [code, signal] = await once(program, "exit");
  return signal ?? code;
}
