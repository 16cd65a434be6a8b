import { ExclaimError } from "../../../src/index.ts";
import type { LockBackend } from "../../../src/lock/lock.ts";
import type { Failpoints } from "./failpoints.ts";

/** The back-end with failpoints before an acquisition, after it and around a release. */
export function faultyLock(backend: LockBackend, failpoints: Failpoints): LockBackend {
  return {
    ...backend,
    name: backend.name,
    capabilities: backend.capabilities,
    async acquire(key, options) {
      const struck = failpoints.pass("F1 lock requested");
      if (struck?.does === "throw") {
        struck.hit();
        throw unreachable(`acquire ${key}`);
      }
      const attempt = await backend.acquire(key, options);
      if (struck?.does === "lose the lock's answer") {
        struck.hit();
        throw unreachable(`acquire ${key}`);
      }
      if (attempt.lease !== null) failpoints.pass("F2 lock held");
      return attempt;
    },
    extend: (lease) => backend.extend(lease),
    async release(lease) {
      const struck = failpoints.pass("F13 lock release sent");
      if (struck?.does === "throw") {
        struck.hit();
        throw unreachable(`release ${lease.key}`);
      }
      const isReleased = await backend.release(lease);
      if (struck?.does === "lose the lock's answer") {
        struck.hit();
        throw unreachable(`release ${lease.key}`);
      }
      return isReleased;
    },
  };
}

/** As a back-end tells that too few of its servers answered. */
function unreachable(what: string): ExclaimError {
  return new ExclaimError("LOCK_UNREACHABLE", `${what}: the answer was lost`);
}
