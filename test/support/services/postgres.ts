import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import pg from "pg";
import type { Service } from "../service.ts";

/**
 * Settings of every PostgreSQL the tests start.
 * fsync=off is for tests only: it gives up what was committed when the operating system dies, and nothing when a
 * process is killed. synchronous_commit stays on, so that a commit is acknowledged only once its log is written.
 */
const SETTINGS = ["max_connections=300", "fsync=off"];

const SETTING_ARGUMENTS = SETTINGS.flatMap((setting) => ["-c", setting]);

/** PostgreSQL, at DATABASE_URL or started. The account at the URL must be allowed to create databases. */
export const postgres: Service = {
  name: "postgres",
  title: "PostgreSQL",
  variable: "DATABASE_URL",
  count: 1,
  container: {
    image: "postgres:17-alpine",
    port: 5432,
    command: ["postgres", ...SETTING_ARGUMENTS],
    env: { POSTGRES_HOST_AUTH_METHOD: "trust" },
    tmpfs: ["/var/lib/postgresql/data"],
  },
  binaries: ["postgres", "initdb"],
  folders: [
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
  ],
  debianPackage: "postgresql",
  refusesRoot: true,
  endSignal: "SIGQUIT",
  prepare: ({ binaryFolder, folder }) => [
    {
      file: join(binaryFolder, "initdb"),
      args: [
        `--pgdata=${join(folder, "data")}`,
        "--username=postgres",
        "--auth=trust",
        "--encoding=UTF8",
        "--locale=C",
        "--no-sync",
      ],
    },
  ],
  start: ({ binaryFolder, folder }, port) => ({
    file: join(binaryFolder, "postgres"),
    args: [
      ...["-D", join(folder, "data"), "-p", String(port)],
      ...["-c", "listen_addresses=127.0.0.1", "-c", `unix_socket_directories=${folder}`],
      // Shared memory as files in the data folder goes with the folder, even after SIGKILL.
      ...["-c", "dynamic_shared_memory_type=mmap"],
      ...SETTING_ARGUMENTS,
    ],
  }),
  cleanUp: removeSharedMemory,
  url: (host, port) => `postgres://postgres@${host}:${port}/postgres`,
  probe: async (url, started) => {
    const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 2_000 });
    client.on("error", () => {});
    try {
      await client.connect();
      if (started === undefined) {
        await client.query("select 1");
        return;
      }
      const { rows } = await client.query<{ data_directory: string }>("show data_directory");
      if (rows[0]?.data_directory !== join(started.folder, "data")) {
        throw new Error("another PostgreSQL answers on this port");
      }
    } finally {
      await client.end().catch(() => {});
    }
  },
};

/** The one segment that PostgreSQL takes from System V outlives SIGKILL; the last line but one of its pid file names it. */
function removeSharedMemory(folder: string): void {
  let lines: string[];
  try {
    lines = readFileSync(join(folder, "data", "postmaster.pid"), "utf8").split("\n");
  } catch {
    return;
  }
  const segment = lines[6]?.trim().split(/\s+/)[1];
  if (segment !== undefined) {
    spawnSync("ipcrm", ["-m", segment], { stdio: "ignore" });
  }
}
