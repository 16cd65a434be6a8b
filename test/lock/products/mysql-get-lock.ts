import { createHash } from "node:crypto";
import mysqlClient, { type RowDataPacket } from "mysql2/promise";
import { mysqlGetLock } from "../../../src/lock/mysql.ts";
import type { LockProduct } from "../../conformance/lock/lock-product.ts";
import { mariadb } from "../../support/services/mariadb.ts";
import { openMysqlClients, startMariadbServer } from "../mysql-clients.ts";

export const product: LockProduct = {
  title: "MariaDB GET_LOCK",
  capabilities: { expiry: "session", ttlGranularityMs: 1, shared: false, fifo: false, push: false },
  tellsHolderTime: false,
  shared: { service: mariadb, count: 1 },
  nodes: { count: 1, kind: "single" },
  startServers: async () => [await startMariadbServer()],
  survivesRestart: false,
  open: async ([url = ""]) => {
    const clients = openMysqlClients(url);
    return { backend: mysqlGetLock(clients.pool, { callTimeoutMs: 3_000 }), close: clients.close };
  },
  inspect: async ([url = ""]) => {
    const pool = mysqlClient.createPool({ uri: url, connectionLimit: 2 });
    const holder = async (key: string): Promise<unknown> => {
      const name = `exclaim:${createHash("sha1").update(key).digest("hex")}`;
      return (await pool.query<RowDataPacket[]>("select is_used_lock(?) as id", [name]))[0][0]?.id;
    };
    return {
      holders: async (key) => ((await holder(key)) === null ? 0 : 1),
      remove: async (key) => {
        await pool.query(`kill ${await holder(key)}`);
      },
      close: () => pool.end(),
    };
  },
};
