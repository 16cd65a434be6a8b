/**
 * A process that holds locks of many products and does as it is told, over its IPC channel.
 * Input: one argument, JSON of `PodOptions`; then `PodCommand`s, each answered under its id. Answer 0 says that it is ready.
 */
import { setWallClockAhead } from "./wall-clock.ts";
import "../../support/end-with-vitest.ts";
import { readFileSync, writeFileSync } from "node:fs";
import { setImmediate } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { createExclaim, type Exclaim, type HeldLock } from "../../../src/index.ts";
import type { LockProduct } from "./lock-product.ts";
import type { Lapse, PodCommand, PodOptions, WorkReport } from "./pod-commands.ts";
import { codeOf, Work } from "./work.ts";

const { sessionMs, products } = JSON.parse(process.argv[2] ?? "{}") as PodOptions;
const opened = new Map(products.map(({ title, file, urls }) => [title, open(file, urls)]));
const works = new Map<string, Work>();

async function open(file: string, urls: readonly string[]): Promise<Exclaim> {
  const { product }: { readonly product: LockProduct } = await import(pathToFileURL(file).href);
  return createExclaim({ lock: (await product.open(urls, { sessionMs })).backend });
}

async function obey(command: PodCommand): Promise<unknown> {
  switch (command.do) {
    case "work":
      return void works.set(command.title, new Work(await take(command.title, command.key, command.ttlMs, 30_000)));
    case "end":
      return end(command.title);
    case "stall":
      return stall(command.ms);
    case "setClock":
      return setWallClockAhead(command.aheadMs);
    case "count":
      return count(command);
  }
}

async function end(title: string): Promise<WorkReport> {
  const work = works.get(title);
  if (work === undefined) throw new Error(`there is no work under ${title}`);
  return work.end();
}

/** Blocks this process, as a long computation would, and looks at once whether the locks are still trusted. */
function stall(ms: number): readonly Lapse[] {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
  return [...works].map(([title, { lock }]) => {
    const abortedByTimer = lock.signal.aborted;
    const thrown = codeOf(() => lock.assertHeld());
    return { title, abortedByTimer, thrown, abortedByLooking: lock.signal.aborted };
  });
}

/** Reads a number from a file, waits a moment and writes it back one higher, under the lock: nothing else keeps others from it. */
async function count({ title, key, ttlMs, path, times, clockJumpsMs }: Extract<PodCommand, { do: "count" }>): Promise<void> {
  for (let done = 0; done < times; done += 1) {
    await using lock = await take(title, key, ttlMs, 120_000);
    const jumpMs = clockJumpsMs[done % clockJumpsMs.length];
    if (jumpMs !== undefined) setWallClockAhead(jumpMs);
    const read = Number(readFileSync(path, "utf8"));
    await setImmediate();
    lock.assertHeld();
    writeFileSync(path, String(read + 1));
  }
}

async function take(title: string, key: string, ttlMs: number, waitMs: number): Promise<HeldLock> {
  const exclaim = await opened.get(title);
  if (exclaim === undefined) throw new Error(`this pod knows nothing of ${title}`);
  const lock = await exclaim.lock.acquire(key, { ttlMs, waitMs });
  if (lock.status === "contended") throw new Error(`${title}: ${key} was not won within ${waitMs} ms`);
  return lock;
}

process.on("message", ({ id, command }: { id: number; command: PodCommand }) => {
  obey(command).then(
    (value) => process.send?.({ id, value }),
    (error: unknown) => process.send?.({ id, error: error instanceof Error ? (error.stack ?? error.message) : String(error) }),
  );
});
// Whoever asks for a product that cannot be opened is told then.
await Promise.allSettled(opened.values());
process.send?.({ id: 0 });
