import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { buildClockShim, type ClockShim } from "./clock-shim.ts";

const CLOCKS = "process.stdout.write(JSON.stringify([Date.now(), Number(process.hrtime.bigint()) / 1e6, performance.now()]))";

describe("a process under the clock shim", () => {
  let shim: ClockShim;

  beforeAll(async () => {
    shim = await buildClockShim();
  });

  afterAll(() => shim[Symbol.dispose]());

  it.each([
    ["ahead", 3_600_000],
    ["back", -3_600_500],
  ])("has its time of day %s and its monotonic clocks where they were", async (_where, byMs) => {
    const clock = shim.clock();
    clock.jump(byMs);

    const { stdout } = await promisify(execFile)(process.execPath, ["-e", CLOCKS], { env: { ...clock.env } });

    const [wall = 0, monotonic = 0, sinceStart = 0] = JSON.parse(stdout) as number[];
    expect(Math.abs(Date.now() + byMs - wall)).toBeLessThan(60_000);
    expect(Math.abs(Number(process.hrtime.bigint()) / 1e6 - monotonic)).toBeLessThan(60_000);
    expect(sinceStart).toBeLessThan(60_000);
  });
});
