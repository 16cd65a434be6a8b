import { etcd } from "../../src/lock/etcd.ts";

/** A program that waits for a key that is held, is woken or not, stops waiting, and then has nothing left to do. */
const [url = "", key = ""] = process.argv.slice(2);
const lock = etcd(url, { callTimeoutMs: 5_000 });
await lock.acquire(key, { ttlMs: 60_000, owner: "waiter", queue: true });
const stop = await lock.watch?.({ key, owner: "waiter", mode: "exclusive" }, () => {});
stop?.();
process.stdout.write("stopped\n");
