import { randomBytes } from "node:crypto";
import mysql from "mysql2/promise";
import { startPrivateServer } from "./ladder.ts";
import type { ServerProcess } from "./server-process.ts";
import { mariadb } from "./services/mariadb.ts";
import { sharedUrl } from "./shared-urls.ts";

/** A database that nobody else uses. */
export interface FreshMysqlDatabase {
  readonly url: string;
  /** Drops the database. */
  drop(): Promise<void>;
}

/** Creates an empty database with a name of its own on the shared server. */
export async function freshMysqlDatabase(): Promise<FreshMysqlDatabase> {
  const name = `exclaim_test_${randomBytes(8).toString("hex")}`;
  await administer(`create database ${name}`);
  const address = new URL(sharedUrl(mariadb));
  address.pathname = `/${name}`;
  return { url: address.href, drop: () => administer(`drop database if exists ${name}`) };
}

/** Starts a MariaDB of our own, for tests that hang or kill it. Its URL leads to the database mysql. */
export function startMariadb(): Promise<ServerProcess> {
  return startPrivateServer(mariadb);
}

async function administer(statement: string): Promise<void> {
  const client = await mysql.createConnection({ uri: sharedUrl(mariadb) });
  try {
    await client.query(statement);
  } finally {
    client.destroy();
  }
}
