import { etcd as etcdLock } from "../../../src/lock/etcd.ts";
import type { LockInspector, LockProduct } from "../../conformance/lock/lock-product.ts";
import { startEtcd } from "../../support/etcd.ts";
import { clearEtcd, keysOfEtcd } from "../../support/etcd-gateway.ts";
import { etcd } from "../../support/services/etcd.ts";

/** So that a machine busy with other tests is not taken for a server that does not answer. */
const PATIENT = { callTimeoutMs: 3_000 };

export const product: LockProduct = {
  title: "etcd, one node",
  capabilities: { expiry: "ttl", ttlGranularityMs: 1_000, shared: true, fifo: true, push: true },
  tellsHolderTime: true,
  shared: { service: etcd, count: 1 },
  nodes: { count: 1, kind: "single" },
  startServers: async () => [await startEtcd()],
  survivesRestart: true,
  open: async (urls) => ({ backend: etcdLock(urls, PATIENT), close: async () => {} }),
  inspect: async (urls) => inspectEtcd(urls),
};

/** Reads by plain fetch. */
export function inspectEtcd(urls: readonly string[]): LockInspector {
  const line = (key: string) => `${key.replaceAll("%", "%25").replaceAll("/", "%2f")}/`;
  return {
    holders: async (key) => (await keysOfEtcd(urls, line(key))).filter(({ value }) => value === "held").length,
    remove: (key) => clearEtcd(urls, line(key)),
    close: async () => {},
  };
}
