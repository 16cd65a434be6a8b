import { Redis } from "ioredis";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createExclaim, type Exclaim } from "../../src/index.ts";
import { redis } from "../../src/lock/redis.ts";
import type { HistoryEvent } from "../checker/history.ts";
import { type FreshDatabase, freshDatabase } from "../support/postgres.ts";
import { redisUrl } from "../support/redis.ts";
import { type ClosedPod, type Keepers, leftBehind } from "./left-behind.ts";

const POD = { by: "pod-1.1", at: 1 };
const LEASED: HistoryEvent = { ...POD, what: "leased", resource: "order:7", token: 1, sentAt: 1, ttlMs: 60_000 };
const STARTED = {
  ...POD,
  what: "started",
  delivery: "d",
  claimant: "7",
  resource: "order:7",
  token: 1,
  attempt: 1,
  resumed: false,
} as const;
const LOST: HistoryEvent = { ...POD, what: "outcome", delivery: "d", claimant: "7", status: "lost" };

describe("what a process that closed leaves behind", () => {
  let database: FreshDatabase;
  let client: Redis;
  let exclaim: Exclaim;
  let keepers: Keepers;

  beforeEach(async () => {
    database = await freshDatabase();
    await createExclaim({ database: database.pool }).migrate();
    client = new Redis(redisUrl());
    const lockPrefix = `${new URL(database.url).pathname.slice(1)}:`;
    exclaim = createExclaim({ database: database.pool, lock: redis(client, { prefix: lockPrefix }), ttlMs: 60_000 });
    keepers = { database: database.pool, lock: "redis", lockUrls: [redisUrl()], lockPrefix };
  });

  afterEach(async () => {
    await exclaim.close({ drainMs: 0 });
    client.disconnect();
    await database.drop();
  });

  it("is its lease and its lock as long as they are alive, and nothing once they are ended", async () => {
    const closed = { pod: POD.by, events: [LEASED, STARTED] };
    const seen: (readonly unknown[])[] = [];

    const owners = await whileClaimed(async (holders) => {
      seen.push(await leftBehind({ ...closed, owners: holders }, keepers));
      return holders;
    });
    seen.push(await leftBehind({ ...closed, owners }, keepers));

    expect(owners).toHaveLength(1);
    expect(seen).toEqual([
      [
        { kind: "left-lease", detail: "pod-1.1 closed and left order:7 1" },
        { kind: "left-lock", detail: `pod-1.1 closed and left the lock of ${owners[0]}` },
      ],
      [],
    ]);
  });

  it.each<{ title: string; events: readonly HistoryEvent[] }>([
    { title: "another process was granted", events: [{ ...LEASED, token: 2 }] },
    { title: "it had lost, which runs out by itself", events: [LEASED, STARTED, LOST] },
  ])("is no lease that $title", async ({ events }) => {
    const closed: ClosedPod = { pod: POD.by, events, owners: ["another"] };

    const seen = await whileClaimed(() => leftBehind(closed, keepers));

    expect(seen).toEqual([]);
  });

  /** Looks while the key 7 is claimed; is told who has its lock. */
  async function whileClaimed<T>(look: (owners: readonly string[]) => Promise<T>): Promise<T> {
    const outcome = await exclaim.resource("order").claim({ key: "7" }, async () => {
      const owners = await client.mget(await client.keys(`${keepers.lockPrefix}*`));
      return look(owners.filter((owner) => owner !== null));
    });
    if (outcome.status !== "completed") throw new Error(`the claim was ${outcome.status}`);
    return outcome.result;
  }
});
