import { ExclaimError } from "../../../src/index.ts";
import type { LockBackend, LockLease } from "../../../src/lock/lock.ts";
import type { Failpoint } from "../failpoint.ts";
import type { Failpoints } from "./failpoints.ts";

/** A back-end whose acquisitions are remembered. */
export interface FaultyLock {
  readonly backend: LockBackend;
  /** The owners of leases that were won here, but for those of which a release failed: they run out by themselves. */
  readonly owners: ReadonlySet<string>;
}

/** The back-end with failpoints before an acquisition, after it, and around a renewal and a release. */
export function faultyLock(backend: LockBackend, failpoints: Failpoints): FaultyLock {
  const owners = new Set<string>();
  const { watch, extendMany } = backend;
  const extending = <T>(what: string, extend: () => Promise<T>): Promise<T> =>
    struck(failpoints, { point: "F12 lock renewal sent", what: `extend ${what}` }, extend);
  // What lasts as long as a session runs out by nothing else: a back-end whose call fails takes it back by itself once it can.
  const takeBack = (lease: LockLease): void => {
    if (backend.capabilities.expiry === "session") void backend.release(lease).catch(() => {});
  };
  const faulty: LockBackend = {
    name: backend.name,
    capabilities: backend.capabilities,
    async acquire(key, options) {
      const call = { point: "F1 lock requested", what: `acquire ${key}` } as const;
      const attempt = await struck(failpoints, call, () => backend.acquire(key, options)).catch((error: unknown) => {
        takeBack({ key, owner: options.owner, ttlMs: options.ttlMs });
        throw error;
      });
      if (attempt.lease !== null) {
        owners.add(attempt.lease.owner);
        failpoints.pass("F2 lock held");
      }
      return attempt;
    },
    extend: (lease) => extending(lease.key, () => backend.extend(lease)),
    async release(lease) {
      const call = { point: "F13 lock release sent", what: `release ${lease.key}` } as const;
      try {
        return await struck(failpoints, call, () => backend.release(lease));
      } catch (error) {
        owners.delete(lease.owner);
        takeBack(lease);
        throw error;
      }
    },
    ...(watch && { watch: watch.bind(backend) }),
    ...(extendMany && {
      extendMany: (leases) => extending(`${leases.length} leases`, () => extendMany.call(backend, leases)),
    }),
  };
  return { backend: faulty, owners };
}

/** One call, with what is due at its point: it is not sent, or its answer is lost. */
async function struck<T>(failpoints: Failpoints, call: { point: Failpoint; what: string }, send: () => Promise<T>): Promise<T> {
  const consequence = failpoints.pass(call.point);
  if (consequence?.does === "throw") {
    consequence.hit();
    throw unreachable(call.what);
  }
  const answer = await send();
  if (consequence?.does !== "lose the lock's answer") return answer;
  consequence.hit();
  throw unreachable(call.what);
}

/** As a back-end tells that too few of its servers answered. */
function unreachable(what: string): ExclaimError {
  return new ExclaimError("LOCK_UNREACHABLE", `${what}: the answer was lost`);
}
