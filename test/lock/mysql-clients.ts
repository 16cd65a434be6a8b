import mysql from "mysql2/promise";
import { startPrivateServer } from "../support/ladder.ts";
import type { ServerProcess } from "../support/server-process.ts";
import { mariadb } from "../support/services/mariadb.ts";

/** A pool of one server. */
export interface MysqlClients {
  readonly pool: mysql.Pool;
  /** How many connections there are, and how many of them are in use. */
  connections(): { readonly open: number; readonly inUse: number };
  /** Closes what is checked out too: a session whose locks nobody gave back is one. */
  close(): Promise<void>;
}

/** Safe in any process: nothing here is of the test runner. */
export function openMysqlClients(url: string, options: mysql.PoolOptions = {}): MysqlClients {
  const pool = mysql.createPool({ uri: url, connectTimeout: 20_000, ...options });
  let closing: Promise<void> | undefined;
  return {
    pool,
    connections: () => {
      const { _allConnections: all, _freeConnections: free } = pool.pool as unknown as Record<string, { length: number }>;
      return { open: all?.length ?? 0, inUse: (all?.length ?? 0) - (free?.length ?? 0) };
    },
    close: () => {
      closing ??= pool.end();
      return closing;
    },
  };
}

/** Makes the database if it is not there, and names it in the URL. */
export async function inDatabase(url: string, name: string): Promise<string> {
  const client = await mysql.createConnection({ uri: url });
  await client.query(`create database if not exists ${name}`);
  client.destroy();
  const address = new URL(url);
  address.pathname = `/${name}`;
  return address.href;
}

/** A MariaDB of our own, to be hung and killed. */
export function startMariadbServer(): Promise<ServerProcess> {
  return startPrivateServer(mariadb);
}
