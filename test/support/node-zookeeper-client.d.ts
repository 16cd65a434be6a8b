/** What the tests use of the package, which has no types of its own. */
declare module "node-zookeeper-client" {
  import type { EventEmitter } from "node:events";

  interface Stat {
    readonly ephemeralOwner: Buffer;
    readonly numChildren: number;
  }

  interface Acl {
    readonly permission: number;
  }

  interface Transaction {
    create(path: string, data: Uint8Array, mode: number): this;
    create(path: string, data: Uint8Array, acls: Acl[], mode: number): this;
    remove(path: string): this;
    check(path: string): this;
    commit(callback: (error: Error | null, results: readonly { readonly path?: string }[]) => void): void;
  }

  export interface Client extends EventEmitter {
    connect(): void;
    close(): void;
    getState(): { readonly name: string };
    getSessionId(): Buffer;
    getSessionPassword(): Buffer;
    getSessionTimeout(): number;
    addAuthInfo(scheme: string, auth: Buffer): void;
    getChildren(path: string, callback: (error: Error | null, children: string[]) => void): void;
    getChildren(path: string, watcher: () => void, callback: (error: Error | null, children: string[]) => void): void;
    getData(path: string, callback: (error: Error | null, data: Buffer) => void): void;
    getData(path: string, watcher: () => void, callback: (error: Error | null, data: Buffer) => void): void;
    exists(path: string, callback: (error: Error | null, stat: Stat | null) => void): void;
    create(path: string, data: Buffer, mode: number, callback: (error: Error | null, path: string) => void): void;
    remove(path: string, callback: (error: Error | null) => void): void;
    transaction(): Transaction;
    readonly connectionManager: {
      readonly socket?: import("node:net").Socket;
      xid: number;
      /** In the order in which they are tried. */
      readonly servers: { readonly host: string; readonly port: string }[];
      readonly watcherManager: {
        readonly dataWatchers: Readonly<Record<string, EventEmitter>>;
        getDataWatcherPaths(): string[];
        getExistenceWatcherPaths(): string[];
        getChildWatcherPaths(): string[];
      };
    };
  }

  interface ClientOptions {
    readonly sessionTimeout?: number;
    readonly spinDelay?: number;
    readonly retries?: number;
    readonly sessionId?: Buffer;
    readonly sessionPassword?: Buffer;
  }

  const zookeeperClient: {
    createClient(connectionString: string, options?: ClientOptions): Client;
    readonly ACL: { readonly CREATOR_ALL_ACL: Acl[] };
  };
  export default zookeeperClient;
}
