import type { LockProduct } from "../../conformance/lock/lock-product.ts";
import { zookeeper } from "../../support/services/zookeeper.ts";
import { startZookeeper } from "../../support/zookeeper.ts";
import { inspectZookeeper, openZookeeper } from "../zookeeper-clients.ts";

export const product: LockProduct = {
  title: "ZooKeeper, one server",
  capabilities: { expiry: "session", ttlGranularityMs: 2_000, shared: true, fifo: true, push: true },
  tellsHolderTime: false,
  shared: { service: zookeeper, count: 1 },
  nodes: { count: 1, kind: "single" },
  startServers: async () => [await startZookeeper()],
  survivesRestart: true,
  open: openZookeeper,
  inspect: inspectZookeeper,
};
