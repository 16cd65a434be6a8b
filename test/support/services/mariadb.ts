import { join } from "node:path";
import mysql from "mysql2/promise";
import type { Service } from "../service.ts";

/**
 * Settings of every MariaDB the tests start.
 * innodb_flush_log_at_trx_commit=2 is for tests only: it gives up what was committed when the operating system dies, and nothing
 * when a process is killed.
 */
const SETTING_ARGUMENTS = [
  "--innodb-flush-log-at-trx-commit=2",
  "--innodb-buffer-pool-size=64M",
  "--innodb-log-file-size=32M",
  "--skip-log-bin",
  "--max-connections=400",
  "--character-set-server=utf8mb4",
];

/** MariaDB, at MYSQL_URL or started. The account at the URL must be allowed to create databases. */
export const mariadb: Service = {
  name: "mariadb",
  title: "MariaDB",
  variable: "MYSQL_URL",
  count: 1,
  container: {
    image: "mariadb:11.4",
    port: 3306,
    command: ["mariadbd", ...SETTING_ARGUMENTS],
    env: { MARIADB_ALLOW_EMPTY_ROOT_PASSWORD: "1" },
    tmpfs: ["/var/lib/mysql"],
  },
  binaries: ["mariadbd"],
  folders: ["/usr/sbin", "/usr/libexec", "/opt/homebrew/opt/mariadb/bin", "/usr/local/opt/mariadb/bin"],
  debianPackage: "mariadb-server",
  refusesRoot: true,
  endSignal: "SIGKILL",
  prepare: ({ binaryFolder, folder }) => [
    {
      // Debian has the server in sbin and the rest in bin.
      file: join(binaryFolder, "..", "bin", "mariadb-install-db"),
      args: [
        "--no-defaults",
        `--datadir=${join(folder, "data")}`,
        // Its temporary tables are named by its process id; two at once in one folder take them from each other.
        `--tmpdir=${folder}`,
        "--auth-root-authentication-method=normal",
        "--skip-test-db",
        "--innodb-log-file-size=32M",
      ],
    },
  ],
  start: ({ binaryFolder, folder }, port) => ({
    file: join(binaryFolder, "mariadbd"),
    args: [
      "--no-defaults",
      ...[`--datadir=${join(folder, "data")}`, `--port=${port}`, "--bind-address=127.0.0.1"],
      ...[`--socket=${join(folder, "socket")}`, `--pid-file=${join(folder, "pid")}`, `--tmpdir=${folder}`],
      ...SETTING_ARGUMENTS,
    ],
  }),
  url: (host, port) => `mysql://root@${host}:${port}/mysql`,
  probe: async (url, started) => {
    const client = await mysql.createConnection({ uri: url, connectTimeout: 2_000 });
    client.on("error", () => {});
    try {
      const [rows] = await client.query<mysql.RowDataPacket[]>({ sql: "select @@datadir as folder", timeout: 2_000 });
      if (started !== undefined && rows[0]?.folder !== `${join(started.folder, "data")}/`) {
        throw new Error("another MariaDB answers on this port");
      }
    } finally {
      client.destroy();
    }
  },
};
