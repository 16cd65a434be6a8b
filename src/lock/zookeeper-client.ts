/**
 * What is used of a ZooKeeper client, and what its errors mean.
 *
 * node-zookeeper-client 1.1.3 was chosen: pure JavaScript, so it installs anywhere. The other one, zookeeper 7.3.0, is the C client,
 * compiled at installation on Linux (make, cmake, a compiler). What the first lacks was measured and is made up for here:
 * - it waits for ever: 9 s after its server froze, a client with a session of 2 s still called itself connected; and one that called a
 *   server while it was starting got no answer, in 2 of 8 restarts. Calls have their own time limit, and a connection that stays silent
 *   is cut (zookeeper-session.ts);
 * - its session is its life: after the expiry `connect()` expires again, and what was queued is never answered. Whoever passes a
 *   function can replace the client;
 * - with `retries` it repeats a creation whose reply was lost, and a deletion seconds later. Transactions it does not repeat, so all
 *   writes are transactions;
 * - an `exists` watch on a node that is not there stays for ever, so nodes are watched by `getData`;
 * - it cannot make container nodes, so there are no folders that would have to go (zookeeper-line.ts);
 * - the number of a request is a 32-bit integer that it lets run over, and then it can send no more: its counter is set back in time.
 */
export interface ZookeeperClient {
  getState(): { readonly name: string };
  getSessionId(): Uint8Array;
  /** As the server granted it, in ms, once connected. */
  getSessionTimeout(): number;
  getChildren(path: string, callback: ZookeeperCallback<readonly string[]>): void;
  getChildren(path: string, watcher: () => void, callback: ZookeeperCallback<readonly string[]>): void;
  getData(path: string, watcher: () => void, callback: ZookeeperCallback<unknown>): void;
  exists(path: string, callback: ZookeeperCallback<{ readonly ephemeralOwner: Uint8Array } | null>): void;
  transaction(): ZookeeperTransaction;
  on(event: "state", listener: () => void): unknown;
  /** Not documented by the client. Without it a silent connection is not cut, and errors name no server. */
  readonly connectionManager?: {
    readonly socket?: ZookeeperSocket;
    /** The number of the next request. */
    xid?: number;
    /** The first part of an answer whose rest has not come yet. */
    pendingBuffer?: Uint8Array | null;
  };
}

export interface ZookeeperTransaction {
  /** The type of the ACLs is the client's own affair: they are handed through. */
  create(path: string, data: Buffer, acls: never[], mode: number): unknown;
  create(path: string, data: Buffer, mode: number): unknown;
  remove(path: string): unknown;
  check(path: string): unknown;
  commit(callback: ZookeeperCallback<readonly { readonly path?: string }[]>): void;
}

export type ZookeeperCallback<T> = (error: unknown, value: T) => void;

export interface ZookeeperSocket {
  destroy(error: Error): unknown;
  readonly remoteAddress?: string | undefined;
  readonly remotePort?: number | undefined;
}

export const CONNECTED = "SYNC_CONNECTED";
export const EXPIRED = "EXPIRED";

export const PERSISTENT = 0;
export const EPHEMERAL_SEQUENTIAL = 3;

export const CONNECTION_LOSS = -4;
export const NO_NODE = -101;
export const NODE_EXISTS = -110;
export const SESSION_EXPIRED = -112;

/** The server's own code of an error; undefined for an error that is not the server's. */
export function codeOf(error: unknown): number | undefined {
  if (typeof error !== "object" || error === null || !("code" in error)) return undefined;
  return typeof error.code === "number" ? error.code : undefined;
}

/** Which server the client talks to now, for errors. */
export function serverOf({ connectionManager }: ZookeeperClient): string {
  const { remoteAddress, remotePort } = connectionManager?.socket ?? {};
  return remoteAddress === undefined ? "the ensemble" : `${remoteAddress}:${remotePort}`;
}
