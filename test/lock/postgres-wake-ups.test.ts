import { createHash, randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { systemClock } from "../../src/clock.ts";
import { migrate } from "../../src/ledger/migrate.ts";
import type { LockWaiter } from "../../src/lock/lock.ts";
import { postgres } from "../../src/lock/postgres.ts";
import { eventually } from "../support/eventually.ts";
import { type FreshDatabase, freshDatabase } from "../support/postgres.ts";
import { openPostgresClients } from "./postgres-clients.ts";

const PATIENT_MS = 10_000;
const HOLDER = { ttlMs: 60_000, owner: "holder" };

let database: FreshDatabase;
beforeAll(async () => {
  database = await freshDatabase();
  await migrate(database.pool, systemClock, "exclaim");
});
afterAll(() => database.drop());

describe("wake-ups by notification", () => {
  it("L10 are not there without a listener", () => {
    const lock = postgres(database.pool);

    expect([lock.capabilities.push, lock.watch]).toEqual([false, undefined]);
  });

  it("L10 come from releases by processes that have no listener themselves", async () => {
    const { waiting } = await open();
    const holding = postgres(database.pool, { callTimeoutMs: PATIENT_MS });
    const key = randomUUID();
    await holding.acquire(key, HOLDER);
    let wakes = 0;
    await waiting.watch?.(waiter(key), () => {
      wakes += 1;
    });

    await holding.release({ ...HOLDER, key });

    await eventually(() => wakes === 1, { what: "the wake-up" });
  });

  it("L10 are all for the waiters of the key, and cost the server a notification only where somebody waits", async () => {
    const { waiting, heard } = await open();
    const [watched, free, other] = [randomUUID(), randomUUID(), randomUUID()];
    for (const key of [watched, free, other]) await waiting.acquire(key, HOLDER);
    const woken: string[] = [];
    for (const name of ["left", "right"]) await waiting.watch?.(waiter(watched), () => woken.push(name));
    await waiting.watch?.(waiter(other), () => woken.push("other"));

    for (const key of [free, watched]) await waiting.release({ ...HOLDER, key });

    await eventually(() => woken.length === 2, { what: "the wake-ups" });
    expect(woken.sort()).toEqual(["left", "right"]);
    await eventually(() => heard.length > 0, { what: "the notification" });
    expect(heard).toEqual([createHash("sha256").update(watched).digest("hex")]);
  });

  it("L10 come for the holder that took the key over from the one that was watched, once its refused waiter has asked", async () => {
    const { waiting } = await open();
    const key = randomUUID();
    await waiting.acquire(key, HOLDER);
    let wakes = 0;
    await waiting.watch?.(waiter(key), () => {
      wakes += 1;
    });
    await waiting.release({ ...HOLDER, key });
    await eventually(() => wakes === 1, { what: "the first wake-up" });
    const next = { ...HOLDER, owner: "next" };
    await postgres(database.pool, { callTimeoutMs: PATIENT_MS }).acquire(key, next);
    expect((await waiting.acquire(key, { ...HOLDER, owner: "waiter" })).lease).toBeNull();

    await waiting.release({ ...next, key });

    await eventually(() => wakes === 2, { what: "the second wake-up" });
  });

  it("L8 L10 come with the last of the shared owners, not before", async () => {
    const { waiting } = await open();
    const key = randomUUID();
    for (const owner of ["a", "b"]) await waiting.acquire(key, { ttlMs: 60_000, owner, mode: "shared" });
    let wakes = 0;
    await waiting.watch?.(waiter(key), () => {
      wakes += 1;
    });

    await waiting.release({ key, owner: "a", ttlMs: 60_000, mode: "shared" });
    // A notification of another key is heard after all that came before it.
    await waiting.acquire(`${key} marker`, HOLDER);
    let isMarked = false;
    await waiting.watch?.(waiter(`${key} marker`), () => {
      isMarked = true;
    });
    await waiting.release({ ...HOLDER, key: `${key} marker` });
    await eventually(() => isMarked, { what: "the marker" });
    const afterFirst = wakes;
    await waiting.release({ key, owner: "b", ttlMs: 60_000, mode: "shared" });

    await eventually(() => wakes === 1, { what: "the wake-up" });
    expect(afterFirst).toBe(0);
  });

  it("L10 end with the listener: to watch is a failure then, and the locks go on", async () => {
    const { waiting, listener } = await open();
    const key = randomUUID();
    await waiting.acquire(key, HOLDER);
    const stop = await waiting.watch?.(waiter(key), () => {});
    const ended = new Promise((resolve) => listener.once("end", resolve));
    await listener.end();
    await ended;

    const failed = await waiting.watch?.(waiter(key), () => {}).catch((error) => error);

    stop?.();
    expect(failed).toMatchObject({
      code: "LOCK_UNREACHABLE",
      message: expect.stringContaining("the listener is lost"),
      details: { backend: "postgres" },
    });
    expect(await waiting.release({ ...HOLDER, key })).toBe(true);
  });

  it("L10 leave one LISTEN on the caller's connection, however many wait", async () => {
    const { waiting, listener } = await open();
    const listeners = () => listener.eventNames().map((name) => [name, listener.listenerCount(name)]);
    const stops = [await waiting.watch?.(waiter(randomUUID()), () => {})];
    const before = listeners();

    for (let count = 0; count < 30; count += 1) stops.push(await waiting.watch?.(waiter(randomUUID()), () => {}));
    for (const stop of stops) stop?.();

    expect(listeners()).toEqual(before);
    expect((await listener.query("select pg_listening_channels()")).rows).toEqual([{ pg_listening_channels: "exclaim_locks" }]);
  });
});

function waiter(key: string): LockWaiter {
  return { key, owner: "waiter", mode: "exclusive" };
}

/** A back-end with a listener, and what another connection hears. */
async function open() {
  const clients = openPostgresClients(database.url);
  onTestFinished(() => clients.close());
  const [listener, witness] = [await clients.connect(), await clients.connect()];
  const heard: string[] = [];
  witness.on("notification", ({ payload = "" }) => heard.push(payload));
  await witness.query("listen exclaim_locks");
  return { listener, heard, waiting: postgres(clients.pool, { listener, callTimeoutMs: PATIENT_MS }) };
}
