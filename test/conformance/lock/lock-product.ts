import type { LockBackend, LockCapabilities } from "../../../src/lock/lock.ts";
import type { ServerProcess } from "../../support/server-process.ts";
import type { Service } from "../../support/service.ts";

/**
 * A lock product as the conformance suites see it. One file a product and mode in test/lock/products/, which exports it as `product`:
 * programs that tests start import that file by its path and open the same back-end in a process of their own.
 */
export interface LockProduct extends LockTraits {
  /** In test titles, e.g. `etcd, three nodes`. */
  readonly title: string;
  /** The servers that all tests share, if there are such, and how many of them: fresh keys, and nothing flushed. */
  readonly shared: { readonly service: Service; readonly count: number } | undefined;
  /** How many servers `startServers` starts, and what one of them is to the others. */
  readonly nodes: LockNodes;
  /** Servers of its own, to be hung and killed. */
  startServers(): Promise<readonly ServerProcess[]>;
  /** Whether a server that is killed and started again still knows who holds what. */
  readonly survivesRestart: boolean;
  /** The back-end over new clients of its own. Safe in any process. */
  open(urls: readonly string[], options?: OpenOptions): Promise<OpenLock>;
  /** Looks at the servers by their own client, never through the code under test. */
  inspect(urls: readonly string[]): Promise<LockInspector>;
}

/** What decides which tests there are, known before a back-end is opened. The suites compare it with what the back-end says and does. */
export interface LockTraits {
  /** What `backend.capabilities` says once it is open. */
  readonly capabilities: LockCapabilities;
  /** Whether a refused attempt tells how long the holder has left; false: `retryAfterMs` may be 0. */
  readonly tellsHolderTime: boolean;
}

/**
 * `single`: one server. `independent`: each votes for itself and a majority is needed, so contenders may each get a part of the votes.
 * `replicated`: they agree among themselves, and any of them answers while a majority lives.
 */
export interface LockNodes {
  readonly count: number;
  readonly kind: "single" | "independent" | "replicated";
}

export interface OpenOptions {
  /** Where leases end with their session: how long it outlives the last sign of its client. No lease is longer. @default 60_000 */
  readonly sessionMs?: number;
}

/** A back-end and the clients it was given, closed together. */
export interface OpenLock {
  readonly backend: LockBackend;
  close(): Promise<void>;
}

export interface LockInspector {
  /** How many hold the key; for a quorum, how many hold it on most nodes. Waiters do not count. */
  holders(key: string): Promise<number>;
  /** Takes the key from whoever holds it, as an operator or an eviction would. */
  remove(key: string): Promise<void>;
  close(): Promise<void>;
}
