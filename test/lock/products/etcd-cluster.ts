import { etcd } from "../../../src/lock/etcd.ts";
import type { LockProduct } from "../../conformance/lock/lock-product.ts";
import { startEtcdCluster } from "../../support/etcd.ts";
import { inspectEtcd, product as single } from "./etcd.ts";

/** An election takes a second or two, in which nobody can be asked: no patience spans that. */
const PATIENT = { callTimeoutMs: 3_000 };

export const product: LockProduct = {
  title: "etcd, a cluster of three",
  capabilities: single.capabilities,
  tellsHolderTime: true,
  shared: undefined,
  nodes: { count: 3, kind: "replicated" },
  startServers: () => startEtcdCluster(3),
  survivesRestart: true,
  open: async (urls) => ({ backend: etcd(urls, PATIENT), close: async () => {} }),
  inspect: async (urls) => inspectEtcd(urls),
};
