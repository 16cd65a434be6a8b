import { type EtcdOptions, etcd } from "../../src/lock/etcd.ts";
import type { AcquireOptions, LockBackend, LockLease } from "../../src/lock/lock.ts";
import { askEtcd, type EtcdKey, keysOfEtcd } from "../support/etcd-gateway.ts";
import { etcd as etcdService } from "../support/services/etcd.ts";
import { sharedUrls } from "../support/shared-urls.ts";

export const TTL_MS = 60_000;

/** So that a machine busy with other tests is not taken for a server that does not answer. */
const PATIENT = { callTimeoutMs: 5_000 };

export function etcdUrls(): readonly string[] {
  return sharedUrls(etcdService);
}

/** A back-end on the etcd that all tests share. */
export function openEtcd(options: EtcdOptions = {}): LockBackend {
  return etcd(etcdUrls(), { ...PATIENT, ...options });
}

/** Wins a key, or throws. */
export async function take(
  key: string,
  owner: string,
  wish: Partial<AcquireOptions> = {},
  backend = openEtcd(),
): Promise<LockLease> {
  const { lease } = await backend.acquire(key, { ttlMs: TTL_MS, ...wish, owner });
  if (lease === null) throw new Error(`${key} is held by somebody else`);
  return lease;
}

/** The owners in the line of a key, as etcd has them. */
export async function ownersOf(key: string, urls = etcdUrls()): Promise<string[]> {
  return (await keysOfEtcd(urls, `${key}/`)).map((contender) => contender.key.replace(/.*\//s, ""));
}

export async function onlyKey(key: string): Promise<EtcdKey> {
  const [contender, ...others] = await keysOfEtcd(etcdUrls(), `${key}/`);
  if (contender === undefined || others.length > 0) throw new Error(`${key} has not exactly one contender`);
  return contender;
}

/** For how long etcd granted a lease; -1 when it is not there. */
export async function grantedSeconds(lease: string): Promise<number> {
  const { grantedTTL = "-1" } = (await askEtcd(etcdUrls(), "lease/timetolive", { ID: lease })) as { grantedTTL?: string };
  return Number(grantedTTL);
}

export async function timed<T>(work: () => Promise<T>): Promise<{ value: T; tookMs: number }> {
  const startedAt = performance.now();
  const value = await work();
  return { value, tookMs: performance.now() - startedAt };
}
