import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";

const PROGRAM = fileURLToPath(new URL("./payload-bombs-program.ts", import.meta.url));

/** In a process with little memory, in which the accessor `__proto__` throws. */
async function answers(): Promise<Record<string, unknown>> {
  const flags = ["--disable-proto=throw", "--max-old-space-size=192", "--import", "tsx", PROGRAM];
  const { stdout } = await promisify(execFile)(process.execPath, flags, { timeout: 60_000, killSignal: "SIGKILL" });
  return JSON.parse(stdout);
}

describe("a process with 192 MB and without __proto__", () => {
  // Planted: the content made a text before its length was looked at, which took 64 MB; the depth counted by JSON.parse.
  it("refuses payloads that are too long or too deep without reading them, and lives on", async () => {
    const came = await answers();

    expect(came).toMatchObject({
      tooLong: { came: "MESSAGE_INVALID", grewMb: 0 },
      tooLongForParse: { came: "MESSAGE_INVALID", grewMb: 0 },
      tooDeep: { came: "MESSAGE_INVALID", grewMb: 0 },
      deepObjects: { came: "MESSAGE_INVALID", grewMb: 0 },
      manyKeys: "object",
      longNumber: "number",
      schemaThatRecurses: "MESSAGE_INVALID",
      ownKeys: ["__proto__", "constructor", "a"],
      copied: ["constructor"],
      ndjson: ["rejected", "row"],
      ndjsonDeep: ["rejected", "row"],
      csvQuote: ["ROW_INVALID"],
      csvProto: ["row"],
      csvHeader: ["ROW_INVALID"],
      polluted: false,
    });
    expect(came.peakMb).toBeLessThan(500);
  });
});
