import { join } from "node:path";
import pg from "pg";
import { startPrivateServer } from "../support/ladder.ts";
import type { ServerProcess } from "../support/server-process.ts";

/** Starts a PgBouncer in front of a server of our own, which leads each transaction to whichever connection is free. */
export function startPgBouncer(server: ServerProcess): Promise<ServerProcess> {
  const settings = (port: number, folder: string) => [
    "[databases]",
    `postgres = host=${server.host} port=${server.port} user=postgres`,
    "[pgbouncer]",
    `listen_addr = 127.0.0.1`,
    `listen_port = ${port}`,
    `unix_socket_dir = ${folder}`,
    "auth_type = any",
    "pool_mode = transaction",
    "default_pool_size = 5",
    "max_client_conn = 200",
    // The driver's own start-up parameters.
    "ignore_startup_parameters = extra_float_digits",
  ];
  return startPrivateServer({
    name: "pgbouncer",
    title: "PgBouncer",
    variable: "PGBOUNCER_URL",
    count: 1,
    container: { image: "edoburu/pgbouncer", port: 5432 },
    binaries: ["pgbouncer"],
    folders: ["/usr/sbin", "/opt/homebrew/bin", "/usr/local/bin"],
    debianPackage: "pgbouncer",
    refusesRoot: true,
    endSignal: "SIGKILL",
    start: ({ binaryFolder, folder }, port) => ({
      file: "sh",
      args: ["-c", 'printf "%s\\n" "$@" > "$FILE" && exec "$PROGRAM" "$FILE"', "sh", ...settings(port, folder)],
      env: { FILE: join(folder, "pgbouncer.ini"), PROGRAM: join(binaryFolder, "pgbouncer") },
    }),
    url: (host, port) => `postgres://postgres@${host}:${port}/postgres`,
    probe: async (url) => {
      const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 2_000 });
      client.on("error", () => {});
      try {
        await client.connect();
        await client.query("select 1");
      } finally {
        await client.end().catch(() => {});
      }
    },
  });
}
