import { randomUUID } from "node:crypto";
import { Queue } from "bullmq";
import { Redis } from "ioredis";
import { describe, expect, it, onTestFinished } from "vitest";
import { type BullmqQueue, bullmqTarget } from "../../src/outbox/bullmq.ts";
import { codesOf, messageOf } from "../conformance/target-conformance.ts";
import { startRedisNode } from "../support/redis.ts";
import { type BullmqBed, bullmqBeds } from "./bullmq-beds.ts";

describe.each(bullmqBeds)("what BullMQ does silently: %s", (name, open) => {
  const isPostgres = /PostgreSQL/.test(name);

  async function opened(): Promise<BullmqBed> {
    const bed = await open();
    onTestFinished(() => bed.close());
    return bed;
  }

  // Planted: ids that came back not compared.
  it("F1 a job that a script refused is not sent: its parent is missing", async () => {
    const { queue, jobs } = await opened();
    const target = bullmqTarget(queue, { jobOptions: { parent: { id: "nobody", queue: `bull:${queue.name}` } } });

    const answers = await target.send([messageOf({ row: 1 }), messageOf({ row: 2 })]);

    expect(codesOf(answers)).toEqual(["MESSAGE_REFUSED", "MESSAGE_REFUSED"]);
    expect(await jobs()).toEqual([]);
  });

  it("F1 a job that was deduplicated against another id is not sent", async () => {
    const { queue, received } = await opened();
    const target = bullmqTarget(queue, { jobOptions: { deduplication: { id: "one-for-all" } } });
    const [first, second] = [messageOf({ row: 1 }), messageOf({ row: 2 })];

    const answers = await target.send([first, second]);

    expect(codesOf(answers)).toEqual(["sent", "MESSAGE_REFUSED"]);
    expect(await received()).toEqual([first]);
  });

  it("F2 the ids that BullMQ refuses are refused alone, and those that it takes are taken", async () => {
    const { target, received } = await opened();
    const bad = ["0", "7", "-12", "NaN", "0:1:2", "a:b", "a:b:c:d", ":"].map((id) => messageOf({ id }, { id }));
    const good = ["u-1", "007", "1e3", "a:b:c", "imp-x-~y", "7.5", "12345678901234567890123"].map((id) =>
      messageOf({ id }, { id }),
    );

    const answers = await target.send([...bad, ...good]);

    expect(codesOf(answers)).toEqual([...bad.map(() => "MESSAGE_REFUSED"), ...good.map(() => "sent")]);
    expect(await received()).toEqual(good);
  });

  it("gives every job the options that were asked for, and its own id", async () => {
    const { queue, jobs } = await opened();
    const target = bullmqTarget(queue, { jobOptions: { attempts: 7, priority: 3 } });
    const message = messageOf({ row: 1 });

    await target.send([message]);

    expect((await jobs()).map(({ id, opts }) => ({ id, opts }))).toMatchObject([
      { id: message.id, opts: { attempts: 7, priority: 3 } },
    ]);
  });

  it("counts what is delayed and what has a priority as backlog, too", async () => {
    const { queue, target } = await opened();

    await bullmqTarget(queue, { jobOptions: { delay: 60_000 } }).send([messageOf(1)]);
    await bullmqTarget(queue, { jobOptions: { priority: 2 } }).send([messageOf(2)]);
    await target.send([messageOf(3)]);

    expect(await target.backlog?.()).toBe(3);
  });

  it("refuses alone a message over BullMQ's own limit of size", async () => {
    const { queue, received } = await opened();
    const target = bullmqTarget(queue, { jobOptions: { sizeLimit: 100 } });
    const [first, last] = [messageOf({ row: 1 }), messageOf({ row: 3 })];

    const answers = await target.send([first, messageOf("x".repeat(200)), last]);

    expect(codesOf(answers)).toEqual(["sent", "MESSAGE_REFUSED", "sent"]);
    expect(await received()).toEqual([first, last]);
  });

  it("a NUL character is taken, or refused alone where the database cannot hold it", async () => {
    const { target, received } = await opened();
    const [first, nul, last] = [messageOf({ row: 1 }), messageOf({ text: "a\u0000b" }), messageOf({ row: 3 })];

    const answers = await target.send([first, nul, last]);

    expect(codesOf(answers)).toEqual(["sent", isPostgres ? "MESSAGE_REFUSED" : "sent", "sent"]);
    expect(await received()).toEqual(isPostgres ? [first, last] : [first, nul, last]);
  });
});

describe("bullmqTarget", () => {
  it("throws BROKER_UNREACHABLE when Redis refuses all for want of memory", async () => {
    const node = await startRedisNode();
    onTestFinished(() => node.stop());
    const { hostname: host, port } = new URL(node.url);
    const redis = new Redis(Number(port), host);
    const queue = new Queue(`q-${randomUUID()}`, { connection: redis as never });
    onTestFinished(async () => {
      await queue.close();
      redis.disconnect();
    });
    await redis.config("SET", "maxmemory", "1");

    const error = await bullmqTarget(queue)
      .send([messageOf({ row: 1 })])
      .catch((thrown: unknown) => thrown);

    expect(error).toMatchObject({ code: "BROKER_UNREACHABLE", message: expect.stringMatching(/OOM/) });
  });

  it("adds 200 at once at most, one bulk after another", async () => {
    const { queue, sizes } = scriptedQueue();

    await bullmqTarget(queue).send(Array.from({ length: 450 }, (_, row) => messageOf({ row })));

    expect(sizes).toEqual([200, 200, 50]);
  });

  // A scripted queue that comes back when the test says. Planted: every try handed to the client.
  it("gives a client that holds a bulk for a lost server nothing more, until it has answered", async () => {
    let comeBack = (): void => {};
    const back = new Promise<void>((resolve) => {
      comeBack = resolve;
    });
    const bulks: string[][] = [];
    const addBulk: BullmqQueue["addBulk"] = async (jobs) => {
      bulks.push(jobs.map(({ opts }) => opts?.jobId ?? ""));
      await back;
      return jobs.map(({ opts }) => ({ id: opts?.jobId }));
    };
    const target = bullmqTarget({ name: "away", addBulk, getJobCounts: async () => ({}) }, { sendTimeoutMs: 20 });
    const messages = [messageOf(1)];

    for (let tries = 1; tries <= 3; tries += 1) {
      await expect(target.send(messages)).rejects.toMatchObject({ code: "BROKER_UNREACHABLE" });
    }
    const heldBulks = bulks.length;
    comeBack();

    expect(await target.send(messages)).toEqual(["sent"]);
    expect([heldBulks, bulks.length]).toEqual([1, 2]);
  });

  // A scripted queue: a real one answers one job for one message.
  it("does not take an answer that is too short for a sent message", async () => {
    const { queue } = scriptedQueue((jobs) => jobs.slice(1));

    await expect(bullmqTarget(queue).send([messageOf(1), messageOf(2)])).rejects.toMatchObject({ code: "BROKER_UNREACHABLE" });
  });

  it("throws CONFIG_INVALID for an id among the job options", () => {
    const { queue } = scriptedQueue();

    expect(() => bullmqTarget(queue, { jobOptions: { jobId: "x" } })).toThrow(/the id of a job is the id of its message/);
  });
});

/** A queue that notes how large its bulks are, and answers what a test says. */
function scriptedQueue(answer = (jobs: { id?: string }[]) => jobs): { queue: BullmqQueue; sizes: number[] } {
  const sizes: number[] = [];
  let isBusy = false;
  const queue: BullmqQueue = {
    name: "scripted",
    async addBulk(jobs) {
      expect(isBusy).toBe(false);
      isBusy = true;
      sizes.push(jobs.length);
      await new Promise((resolve) => setImmediate(resolve));
      isBusy = false;
      return answer(jobs.map(({ opts }) => ({ ...(opts?.jobId === undefined ? {} : { id: opts.jobId }) })));
    },
    getJobCounts: async () => ({}),
  };
  return { queue, sizes };
}
