import type { LockProduct } from "../../conformance/lock/lock-product.ts";
import { startZookeeperEnsemble } from "../../support/zookeeper.ts";
import { inspectZookeeper, openZookeeper } from "../zookeeper-clients.ts";

export const product: LockProduct = {
  title: "ZooKeeper, three servers",
  capabilities: { expiry: "session", ttlGranularityMs: 2_000, shared: true, fifo: true, push: true },
  tellsHolderTime: false,
  shared: undefined,
  nodes: { count: 3, kind: "replicated" },
  startServers: () => startZookeeperEnsemble(3),
  survivesRestart: true,
  open: openZookeeper,
  inspect: inspectZookeeper,
};
