import type pg from "pg";
import { describe, expect, it } from "vitest";
import type { VoucherMessage } from "../../src/cli/demo/broker.ts";
import { fanOut } from "../../src/cli/demo/fan-out.ts";

describe("fanOut", () => {
  it("publishes a message for each row, and every twentieth line a second time under another id", async () => {
    const published: (readonly VoucherMessage[])[] = [];
    const publish = async (messages: readonly VoucherMessage[]) => {
      published.push(messages);
    };

    const count = await fanOut(tableOf(450).client, "imported", { publish });

    expect(count).toBe(472);
    expect(published.map((messages) => messages.length)).toEqual([210, 210, 52]);
    expect(published.flat().filter(({ data }) => data.user_id === 1_020)).toEqual([
      { id: "row-20", data: { user_id: 1_020 } },
      { id: "row-20-again", data: { user_id: 1_020 } },
    ]);
  });

  it("has recorded a message before it is published, so that whoever consumes it finds its record", async () => {
    const { client, recorded } = tableOf(20);
    const unrecorded: string[] = [];
    const publish = async (messages: readonly VoucherMessage[]) => {
      unrecorded.push(...messages.map(({ id }) => id).filter((id) => !recorded.includes(id)));
    };

    await fanOut(client, "imported", { publish });

    expect(recorded).toHaveLength(21);
    expect(unrecorded).toEqual([]);
  });

  it("stops when the broker does not accept its messages", async () => {
    const refusal = new Error("no");

    const publishing = fanOut(tableOf(450).client, "imported", { publish: () => Promise.reject(refusal) });

    await expect(publishing).rejects.toBe(refusal);
  });
});

/** A stand-in for the imported rows: line n names user 1,000 + n. */
function tableOf(lines: number) {
  const recorded: string[] = [];
  const query = async (text: string, values: readonly unknown[]) => {
    if (text.startsWith("insert")) {
      recorded.push(...(values[0] as string[]));
      return { rows: [] };
    }
    const [after, limit] = values as [number, number];
    const rows = Array.from({ length: lines }, (_, index) => ({ line: index + 1, user_id: index + 1_001 }));
    return { rows: rows.filter(({ line }) => line > after).slice(0, limit) };
  };
  return { client: { query } as unknown as Pick<pg.Pool, "query">, recorded };
}
