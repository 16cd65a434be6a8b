import { createExclaim } from "../../src/claim/create-exclaim.ts";
import { memoryLock } from "../../src/lock/memory.ts";

/** A program that holds a lock and waits for it once more, and then comes to its end in the way it is told. It says what came of it. */
const [, , way] = process.argv;
const lock = memoryLock();
const exclaim = createExclaim({ lock, ttlMs: 60_000 });
const held = await exclaim.lock.acquire("k");
const waiting = exclaim.lock.acquire("k", { waitMs: way === "wait" ? 500 : 60_000 }).then(
  ({ status }) => status,
  (error: { code: string }) => error.code,
);

if (way === "close") {
  setTimeout(() => void (held.status === "held" && held.release()), 100);
  await exclaim.close();
  process.stdout.write(await waiting);
}
if (way === "wait") process.stdout.write(await waiting);
if (way === "abort") {
  const controller = new AbortController();
  const aborted = exclaim.lock.acquire("k", { waitMs: 60_000, signal: controller.signal }).catch((error) => error.code);
  await held[Symbol.asyncDispose]();
  const next = await waiting;
  controller.abort();
  process.stdout.write(`${next} ${await aborted}`);
}
if (way === "hang") {
  const hung = createExclaim({ lock: { ...lock, acquire: () => new Promise<never>(() => {}) } });
  await held[Symbol.asyncDispose]();
  const code = await hung.lock.acquire("other", { ttlMs: 300 }).catch((error) => error.code);
  process.stdout.write(`${await waiting} ${code}`);
}
