import type { Clock } from "../clock.ts";
import type { Call } from "./zookeeper-call.ts";
import {
  CONNECTED,
  CONNECTION_LOSS,
  codeOf,
  EPHEMERAL_SEQUENTIAL,
  EXPIRED,
  PERSISTENT,
  SESSION_EXPIRED,
  type ZookeeperCallback,
  type ZookeeperClient,
  type ZookeeperSocket,
  type ZookeeperTransaction,
} from "./zookeeper-client.ts";

/** Well below 2^31, since others may use the client too. */
const MAX_REQUEST_NUMBER = 2_000_000_000;

const EXPIRY = "the session of the client has expired. Pass a function that returns a new client then";

/**
 * The session of one client, which is its life: requests as promises, sent only while somebody seems to listen.
 *
 * Requests of a session are carried out in the order in which they were sent, and those of a connection that broke not after it has
 * another one. A client queues without bound while it has no connection, so nothing is given to it then; nor while a request is
 * unanswered that a call has given up.
 */
export class Session {
  readonly #client: ZookeeperClient;
  readonly #clock: Clock;
  readonly #acls: readonly unknown[] | undefined;
  /** Those who wait for a connection that answers. */
  readonly #waiting = new Set<() => void>();
  #hasExpired = false;
  /** The connection is lost. While a client is being closed it says so of each request, and still calls itself connected. */
  #isLost = false;
  /** A call has given up a request that is still unanswered. */
  #isSilent = false;
  /** Since when an answer is due. */
  #dueSince: number | undefined;
  /** As it was when a call last ended without an answer. */
  #socket: ZookeeperSocket | undefined;

  constructor(client: ZookeeperClient, clock: Clock, acls: readonly unknown[] | undefined) {
    this.#client = client;
    this.#clock = clock;
    this.#acls = acls;
    client.on("state", () => {
      if (client.getState().name === EXPIRED) this.#hasExpired = true;
      if (client.getState().name !== CONNECTED) this.#forgetHalfAnswer();
      this.#isLost = false;
      this.#hear();
    });
  }

  get client(): ZookeeperClient {
    return this.#client;
  }

  get hasExpired(): boolean {
    return this.#hasExpired;
  }

  get timeoutMs(): number {
    return this.#client.getSessionTimeout();
  }

  /** Whether a node of this owner lives as long as this session. */
  owns(ephemeralOwner: Uint8Array): boolean {
    return Buffer.from(ephemeralOwner).equals(this.#client.getSessionId());
  }

  /** Resolves once requests can be sent. Throws once they never can. */
  async open(call: Call): Promise<void> {
    while (!this.#isOpen()) {
      if (this.#hasExpired) throw new Error(EXPIRY);
      this.#dueSince ??= this.#clock.now();
      await this.#change(call);
      call.assertRunning();
    }
  }

  /** Sends at once when the session is open. Throws what the server answered, and when the call is over. */
  async send<T>(call: Call, request: (client: ZookeeperClient, answer: ZookeeperCallback<T>) => void): Promise<T> {
    if (!this.#isOpen()) await this.open(call);
    call.assertRunning();
    this.#keepCounterLow();
    this.#dueSince ??= this.#clock.now();
    call.unanswered += 1;
    try {
      return await new Promise<T>((resolve, reject) => {
        request(this.#client, (error, value) => {
          if (error) reject(error);
          else resolve(value);
        });
      });
    } catch (error) {
      if (codeOf(error) === SESSION_EXPIRED) this.#hasExpired = true;
      if (codeOf(error) === CONNECTION_LOSS) this.#isLost = true;
      throw error;
    } finally {
      call.unanswered -= 1;
      this.#hear();
      call.assertRunning();
    }
  }

  children(call: Call, path: string): Promise<readonly string[]> {
    return this.send(call, (client, answer) => client.getChildren(path, answer));
  }

  exists(call: Call, path: string): Promise<{ readonly ephemeralOwner: Uint8Array } | null> {
    return this.send(call, (client, answer) => client.exists(path, answer));
  }

  /** Calls `fire` once, when the node goes. */
  watchNode(call: Call, path: string, fire: () => void): Promise<unknown> {
    return this.send(call, (client, answer) => client.getData(path, fire, answer));
  }

  /** Calls `fire` once, when a node comes into the folder or goes. */
  watchFolder(call: Call, path: string, fire: () => void): Promise<unknown> {
    return this.send(call, (client, answer) => client.getChildren(path, fire, answer));
  }

  /** A node for good. */
  async createFolder(call: Call, path: string): Promise<void> {
    await this.#commit(call, (transaction) => this.#create(transaction, path, Buffer.alloc(0), PERSISTENT));
  }

  /** A node that goes with the session. Returns its path, which the server has completed. */
  async join(call: Call, path: string, data: Buffer): Promise<string> {
    const results = await this.#commit(call, (transaction) => this.#create(transaction, path, data, EPHEMERAL_SEQUENTIAL));
    const created = results[0]?.path;
    if (created === undefined) throw new Error("the server did not say what it created");
    return created;
  }

  async remove(call: Call, path: string): Promise<void> {
    await this.#commit(call, (transaction) => transaction.remove(path));
  }

  /**
   * Proves that the session lives and all nodes are there: a write like any other, so most servers agree to it. A read would be answered
   * by a server that was parted from the others and does not know yet.
   */
  async check(call: Call, paths: readonly string[]): Promise<void> {
    await this.#commit(call, (transaction) => {
      for (const path of paths) transaction.check(path);
    });
  }

  /**
   * A call ended without an answer: nothing more is sent until one comes. A connection on which none comes for a third of the session is
   * cut: then the client goes on to another server and takes its session along. So is one that has not become a session's in half
   * that time: a server that was just starting may never answer it.
   */
  noteSilence(wasUnanswered: boolean): void {
    if (wasUnanswered) this.#isSilent = true;
    const now = this.#clock.now();
    const isConnected = this.#client.getState().name === CONNECTED;
    const socket = this.#client.connectionManager?.socket;
    if (!isConnected && socket !== this.#socket) this.#dueSince = now;
    this.#socket = socket;
    const limitMs = this.timeoutMs / (isConnected ? 3 : 6);
    if (this.#dueSince === undefined || now - this.#dueSince < limitMs) return;
    this.#dueSince = now;
    this.#isSilent = false;
    // With an error the client also takes back the timer that it set for connecting, which would cut the next connection.
    socket?.destroy(new Error("the server was silent"));
    this.#forgetHalfAnswer();
  }

  /**
   * The client keeps what came of an answer when its connection broke, and reads it as the beginning of what the next one brings: numbers
   * that mean nothing, for which it throws out of its socket.
   */
  #forgetHalfAnswer(): void {
    const { connectionManager } = this.#client;
    if (connectionManager?.pendingBuffer) connectionManager.pendingBuffer = null;
  }

  #isOpen(): boolean {
    return !this.#hasExpired && !this.#isLost && !this.#isSilent && this.#client.getState().name === CONNECTED;
  }

  #commit(call: Call, build: (transaction: ZookeeperTransaction) => void): Promise<readonly { readonly path?: string }[]> {
    return this.send(call, (client, answer) => {
      const transaction = client.transaction();
      build(transaction);
      transaction.commit(answer);
    });
  }

  #create(transaction: ZookeeperTransaction, path: string, data: Buffer, mode: number): void {
    if (this.#acls === undefined) transaction.create(path, data, mode);
    else transaction.create(path, data, [...this.#acls] as never[], mode);
  }

  /** Numbers need only differ among requests that are under way. ZooKeeper's own client does the same (ZOOKEEPER-3253). */
  #keepCounterLow(): void {
    const { connectionManager } = this.#client;
    if (connectionManager?.xid !== undefined && connectionManager.xid > MAX_REQUEST_NUMBER) connectionManager.xid = 1;
  }

  #hear(): void {
    this.#dueSince = undefined;
    this.#isSilent = false;
    for (const resume of [...this.#waiting]) resume();
  }

  #change(call: Call): Promise<void> {
    return new Promise((resolve) => {
      const resume = () => {
        this.#waiting.delete(resume);
        calledOff();
        resolve();
      };
      const calledOff = call.onOver(resume);
      this.#waiting.add(resume);
    });
  }
}
