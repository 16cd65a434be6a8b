import { createHash } from "node:crypto";
import mysqlClient, { type RowDataPacket } from "mysql2/promise";
import { mysql } from "../../../src/lock/mysql.ts";
import type { LockProduct } from "../../conformance/lock/lock-product.ts";
import { mariadb } from "../../support/services/mariadb.ts";
import { inDatabase, openMysqlClients, startMariadbServer } from "../mysql-clients.ts";

const DATABASE = "exclaim_test_locks";

export const product: LockProduct = {
  title: "MariaDB lease rows",
  capabilities: { expiry: "ttl", ttlGranularityMs: 1, shared: false, fifo: false, push: false },
  tellsHolderTime: true,
  shared: { service: mariadb, count: 1 },
  nodes: { count: 1, kind: "single" },
  startServers: async () => [await startMariadbServer()],
  survivesRestart: true,
  open: async ([url = ""]) => {
    const clients = openMysqlClients(await inDatabase(url, DATABASE));
    // So that a machine busy with other tests is not taken for a server that does not answer.
    return { backend: mysql(clients.pool, { callTimeoutMs: 3_000 }), close: clients.close };
  },
  inspect: async ([url = ""]) => {
    const pool = mysqlClient.createPool({ uri: await inDatabase(url, DATABASE), connectionLimit: 2 });
    const hash = (key: string) => createHash("sha256").update(key).digest();
    const query = async (sql: string, key: string): Promise<RowDataPacket[]> => {
      try {
        return (await pool.query<RowDataPacket[]>(sql, [hash(key)]))[0];
      } catch (error) {
        // Made with the first lock.
        if ((error as { code?: unknown }).code === "ER_NO_SUCH_TABLE") return [];
        throw error;
      }
    };
    return {
      holders: async (key) =>
        (await query("select owner from exclaim_locks where key_hash = ? and leased_until > utc_timestamp(6)", key)).length,
      remove: async (key) => {
        await query("delete from exclaim_locks where key_hash = ?", key);
      },
      close: () => pool.end(),
    };
  },
};
