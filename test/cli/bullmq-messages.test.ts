import { describe, expect, it } from "vitest";
import type { VoucherMessage } from "../../src/cli/demo/broker.ts";
import { addMessages } from "../../src/cli/demo/brokers/bullmq.ts";

const MESSAGES: readonly VoucherMessage[] = [1, 2, 3].map((line) => ({ id: `row-${line}`, data: { user_id: line } }));

// A scripted queue: a real one refuses a job of a bulk only now and then.
describe("addMessages", () => {
  it("gives each message to BullMQ as a job under the message's id", async () => {
    const added: unknown[] = [];

    await addMessages(
      queueThat((jobs) => added.push(...jobs)),
      MESSAGES.slice(0, 1),
    );

    expect(added).toEqual([{ name: "voucher", data: { user_id: 1 }, opts: { jobId: "row-1" } }]);
  });

  it("throws when BullMQ answers with another id than it was given", async () => {
    const queue = { addBulk: async () => [{ id: "row-1" }, { id: "-5" }, { id: "row-3" }] };

    await expect(addMessages(queue, MESSAGES)).rejects.toMatchObject({
      code: "REFUSED",
      message: "BullMQ did not accept 1 messages, first row-2",
    });
  });
});

function queueThat(see: (jobs: readonly unknown[]) => void) {
  return {
    async addBulk(jobs: { opts: { jobId: string } }[]) {
      see(jobs);
      return jobs.map(({ opts }) => ({ id: opts.jobId }));
    },
  };
}
