import type pg from "pg";
import { describe, expect, it } from "vitest";
import type { JobToAdd } from "../../src/cli/demo/broker.ts";
import { fanOut } from "../../src/cli/demo/fan-out.ts";

describe("fanOut", () => {
  it("publishes a message for each row, and every twentieth line a second time under another id", async () => {
    const added: JobToAdd[][] = [];
    const addBulk = async (jobs: JobToAdd[]) => {
      added.push(jobs);
      return jobs.map((job) => ({ id: job.opts.jobId }));
    };

    const published = await fanOut(tableOf(450), "imported", { addBulk });

    expect(published).toBe(472);
    expect(added.map((jobs) => jobs.length)).toEqual([210, 210, 52]);
    expect(added.flat().filter(({ data }) => data.user_id === 1_020)).toEqual([
      { name: "voucher", data: { user_id: 1_020 }, opts: { jobId: "row-20" } },
      { name: "voucher", data: { user_id: 1_020 }, opts: { jobId: "row-20-again" } },
    ]);
  });

  it("stops when the broker answers with another id than it was given", async () => {
    const queue = {
      addBulk: async (jobs: JobToAdd[]) => jobs.map((job, index) => ({ id: index === 3 ? "-5" : job.opts.jobId })),
    };

    await expect(fanOut(tableOf(10), "imported", queue)).rejects.toMatchObject({
      code: "REFUSED",
      message: expect.stringContaining("row-4"),
    });
  });
});

/** A stand-in for the imported rows: line n names user 1,000 + n. */
function tableOf(lines: number): Pick<pg.Pool, "query"> {
  const query = async (text: string, values: readonly unknown[]) => {
    if (text.startsWith("insert")) return { rows: [] };
    const [after, limit] = values as [number, number];
    const rows = Array.from({ length: lines }, (_, index) => ({ line: index + 1, user_id: index + 1_001 }));
    return { rows: rows.filter(({ line }) => line > after).slice(0, limit) };
  };
  return { query } as unknown as Pick<pg.Pool, "query">;
}
