/** Takes a lock of the etcd at the URL given, with the authorities of this process, and prints what came of it. */
import { isExclaimError } from "../../src/errors.ts";
import { etcd } from "../../src/lock/etcd.ts";

const [url = "", key = ""] = process.argv.slice(2);
const lock = etcd(url, { callTimeoutMs: 20_000 });
try {
  const { lease } = await lock.acquire(key, { ttlMs: 60_000, owner: "a" });
  process.stdout.write(lease !== null && (await lock.release(lease)) ? "taken and released" : "refused");
} catch (error) {
  process.stdout.write(isExclaimError(error) ? `${error.code}: ${error.message}` : String(error));
}
