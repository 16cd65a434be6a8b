import { describe, expect, it } from "vitest";
import { GroupCommit, type GroupCommitOptions } from "../../src/ledger/group-commit.ts";

interface Batch {
  readonly members: readonly number[];
  /** Answers each member with itself doubled. */
  answer(): void;
  fail(error: unknown): void;
}

/** A group whose batches wait for the test, and the batches that went out. */
function group(options: Partial<GroupCommitOptions<number, number>> = {}) {
  const batches: Batch[] = [];
  const commit = new GroupCommit<number, number>({
    run: (members) =>
      new Promise((resolve, reject) => {
        batches.push({ members, answer: () => resolve(members.map((member) => member * 2)), fail: reject });
      }),
    ...options,
  });
  return { commit, batches, sent: () => batches.map(({ members }) => members) };
}

/** All that promises have to do by now is done. */
function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

describe("a group commit", () => {
  it("sends a lone call at once", async () => {
    const { commit, batches, sent } = group();

    const answer = commit.submit(1);
    await Promise.resolve();
    const sentAfterOneTurn = sent();
    batches[0]?.answer();

    expect(sentAfterOneTurn).toEqual([[1]]);
    expect(await answer).toBe(2);
  });

  it("sends calls of one turn of the event loop together", async () => {
    const { commit, batches, sent } = group();

    const answers = [1, 2, 3].map((member) => commit.submit(member));
    await settled();
    batches[0]?.answer();

    expect(sent()).toEqual([[1, 2, 3]]);
    expect(await Promise.all(answers)).toEqual([2, 4, 6]);
  });

  it("gathers what arrives while a batch is in flight, and sends it when that has returned", async () => {
    const { commit, batches, sent } = group();
    const first = commit.submit(1);
    await settled();

    const later = [commit.submit(2)];
    await settled();
    later.push(commit.submit(3));
    await settled();
    const before = sent();
    batches[0]?.answer();
    await settled();
    const after = sent();
    batches[1]?.answer();

    expect(before).toEqual([[1]]);
    expect(after).toEqual([[1], [2, 3]]);
    expect(await Promise.all([first, ...later])).toEqual([2, 4, 6]);
  });

  it("sends no more at a time than the bound of a batch", async () => {
    const { commit, batches, sent } = group({ maxBatch: 2, maxInFlight: 1 });

    const answers = [1, 2, 3, 4, 5].map((member) => commit.submit(member));
    for (let index = 0; index < 3; index += 1) {
      await settled();
      batches[index]?.answer();
    }

    expect(await Promise.all(answers)).toEqual([2, 4, 6, 8, 10]);
    expect(sent()).toEqual([[1, 2], [3, 4], [5]]);
  });

  it("has 100 members in a batch and two batches in flight unless told otherwise", async () => {
    const { commit, batches, sent } = group();

    for (let member = 0; member < 350; member += 1) void commit.submit(member);
    await settled();
    const first = sent().map(({ length }) => length);
    batches[0]?.answer();
    await settled();

    expect(first).toEqual([100, 100]);
    expect(sent().map(({ length }) => length)).toEqual([100, 100, 100]);
  });

  it("lets a full batch go beside one in flight, and a smaller one wait", async () => {
    const { commit, batches, sent } = group({ maxBatch: 3, maxInFlight: 2 });
    void commit.submit(1);
    await settled();

    for (const member of [2, 3]) void commit.submit(member);
    await settled();
    const smaller = sent();
    void commit.submit(4);
    await settled();
    const full = sent();
    for (const member of [5, 6, 7]) void commit.submit(member);
    await settled();
    const bounded = sent();
    batches[1]?.answer();
    await settled();

    expect(smaller).toEqual([[1]]);
    expect(full).toEqual([[1], [2, 3, 4]]);
    expect(bounded).toEqual([[1], [2, 3, 4]]);
    expect(sent()).toEqual([[1], [2, 3, 4], [5, 6, 7]]);
  });

  it("rejects the members of a batch that failed, all with its error, and no others", async () => {
    const { commit, batches } = group({ maxBatch: 2, maxInFlight: 1 });
    const failure = new Error("the connection broke");
    const answers = [1, 2, 3].map((member) => commit.submit(member));
    const outcomes = Promise.allSettled(answers);

    await settled();
    batches[0]?.fail(failure);
    await settled();
    batches[1]?.answer();

    expect(await outcomes).toEqual([
      { status: "rejected", reason: failure },
      { status: "rejected", reason: failure },
      { status: "fulfilled", value: 6 },
    ]);
  });

  it("goes on after a run that throws before it returns a promise", async () => {
    let runs = 0;
    const commit = new GroupCommit<number, number>({
      run: (members) => {
        runs += 1;
        if (runs === 1) throw new Error("at once");
        return Promise.resolve(members);
      },
    });

    const first = commit.submit(1);
    await expect(first).rejects.toThrow("at once");

    expect(await commit.submit(2)).toBe(2);
  });

  it("rejects who got no answer, and answers the others", async () => {
    const commit = new GroupCommit<number, number>({ run: async (members) => members.slice(0, 1) });

    const outcomes = await Promise.allSettled([commit.submit(1), commit.submit(2)]);

    expect(outcomes).toMatchObject([
      { status: "fulfilled", value: 1 },
      { status: "rejected", reason: { message: expect.stringContaining("fewer") } },
    ]);
  });

  it("answers in the order of a batch whichever batch returns first", async () => {
    const { commit, batches } = group({ maxBatch: 2, maxInFlight: 2 });
    const order: number[] = [];
    const answers = [1, 2, 3, 4].map((member) => commit.submit(member).then((answer) => order.push(answer)));

    await settled();
    batches[1]?.answer();
    await settled();
    batches[0]?.answer();
    await Promise.all(answers);

    expect(order).toEqual([6, 8, 2, 4]);
  });

  it("is idle when nothing waits and nothing is in flight, not before", async () => {
    let idle = 0;
    const { commit, batches } = group({
      maxBatch: 1,
      maxInFlight: 1,
      onIdle: () => {
        idle += 1;
      },
    });
    void commit.submit(1);
    void commit.submit(2);
    await settled();

    const idles = [idle];
    for (const index of [0, 1]) {
      batches[index]?.answer();
      await settled();
      idles.push(idle);
    }

    expect(idles).toEqual([0, 0, 1]);
  });

  it("is idle between two calls of which the second follows the first's answer", async () => {
    const happened: string[] = [];
    const { commit, batches } = group({ onIdle: () => happened.push("idle") });
    const chained = commit.submit(1).then(() => commit.submit(2));
    await settled();

    batches[0]?.answer();
    await settled();
    happened.push("the second is in flight");
    batches[1]?.answer();
    await chained;
    await settled();

    expect(happened).toEqual(["idle", "the second is in flight", "idle"]);
  });

  // Planted: the turns left out, so that the first of many leaves alone.
  it("waits for what the event loop has at hand, after a batch of several", async () => {
    const turns: (() => void)[] = [];
    const clock = { now: () => 0, after: () => () => {}, turn: (fire: () => void) => void turns.push(fire) };
    const { commit, batches, sent } = group({ clock });
    void commit.submit(1);
    void commit.submit(2);
    await settled();
    batches[0]?.answer();
    await settled();

    void commit.submit(3);
    await settled();
    turns.shift()?.();
    void commit.submit(4);
    turns.shift()?.();
    const sentBeforeTheLastTurn = sent();
    turns.shift()?.();

    expect(sentBeforeTheLastTurn).toEqual([[1, 2]]);
    expect(sent()).toEqual([
      [1, 2],
      [3, 4],
    ]);
  });

  it("keeps a lone call waiting for no turn, after a batch of one", async () => {
    const clock = { now: () => 0, after: () => () => {}, turn: () => {} };
    const { commit, batches, sent } = group({ clock });
    void commit.submit(1);
    await settled();
    batches[0]?.answer();
    await settled();

    void commit.submit(2);
    await settled();

    expect(sent()).toEqual([[1], [2]]);
  });
});
