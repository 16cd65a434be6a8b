import { createWriteStream, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { Stage } from "../stage.ts";

const ROWS_A_WRITE = 1_000;

/** Writes a file of employees, four short columns each, removed with the stage. Answers its path. */
export async function writeCsv(stage: Stage, rows: number): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), "exclaim-bench-"));
  stage.atEnd(() => rmSync(folder, { recursive: true, force: true }));
  const path = join(folder, "employees.csv");
  await pipeline(Readable.from(lines(rows)), createWriteStream(path));
  return path;
}

function* lines(rows: number): Generator<string> {
  yield "employee_id,name,email,department\n";
  for (let from = 1; from <= rows; from += ROWS_A_WRITE) {
    let text = "";
    for (let id = from; id < from + ROWS_A_WRITE && id <= rows; id += 1) {
      text += `${id},Employee ${id},employee${id}@example.com,Department ${id % 17}\n`;
    }
    yield text;
  }
}
