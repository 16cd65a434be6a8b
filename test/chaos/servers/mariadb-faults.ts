import mysql from "mysql2/promise";
import type { ServerFault } from "../fault.ts";
import { processFaults, type Target } from "./process-faults.ts";
import { severed } from "./severed.ts";

const LIMIT_MS = 2_000;

export function mariadbFaults(target: Target): ServerFault[] {
  const { url } = target.server;
  const kill = severed(target.name, "mariadb killed all connections", {
    list: async () => {
      const sql = "select id from information_schema.processlist where id <> connection_id() and user <> 'system user'";
      return (await askMariadb(url, sql)).map(({ id }) => String(id));
    },
    end: async (ids) => {
      // One that has gone by itself meanwhile is no error.
      for (const id of ids) await askMariadb(url, `kill connection ${Number(id)}`).catch(() => {});
    },
  });
  return [...processFaults(target, "mariadb"), kill];
}

async function askMariadb(url: string, sql: string): Promise<mysql.RowDataPacket[]> {
  const client = await mysql.createConnection({ uri: url, connectTimeout: LIMIT_MS });
  client.on("error", () => {});
  try {
    const [rows] = await client.query<mysql.RowDataPacket[]>({ sql, timeout: LIMIT_MS });
    return rows;
  } finally {
    client.destroy();
  }
}
