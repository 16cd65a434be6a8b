import { fork } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { chmod, cp, lstat, mkdtemp, readdir, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import pg from "pg";
import { afterEach, describe, expect, it, vi } from "vitest";
import { type EmbeddedPostgres, startEmbeddedPostgres } from "../../src/cli/demo/embedded-postgres.ts";
import { locatePostgres } from "../../src/cli/demo/postgres-binaries.ts";

const TIME_LIMIT_MS = 60_000;

const servers: EmbeddedPostgres[] = [];
const folders: string[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.stop();
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true });
});

describe("startEmbeddedPostgres", { timeout: TIME_LIMIT_MS }, () => {
  it("listens on the loopback address alone, wants its password, keeps what it commits, and stopped leaves nothing", async () => {
    const server = await started();
    const stranger = new URL(server.url);
    stranger.password = "guess";

    const { rows } = await query(
      server,
      "select current_setting('listen_addresses') as address, current_setting('unix_socket_directories') as sockets," +
        " current_setting('fsync') as fsync, current_setting('synchronous_commit') as synchronous, current_setting('server_encoding') as encoding",
    );
    const refused = await query({ ...server, url: stranger.href }, "select 1").catch((error: Error) => error);
    await server.stop();

    expect(rows).toEqual([{ address: "127.0.0.1", sockets: "", fsync: "on", synchronous: "on", encoding: "UTF8" }]);
    expect(refused).toMatchObject({ message: expect.stringContaining("password authentication failed") });
    expect(isAlive(server.pid)).toBe(false);
    expect(existsSync(server.directory)).toBe(false);
  });

  it("stops while clients are connected, and a second time", async () => {
    const server = await started();
    const client = new pg.Client({ connectionString: server.url });
    client.on("error", () => {});
    await client.connect();

    await server.stop();
    await server.stop();

    expect(isAlive(server.pid)).toBe(false);
  });

  it("starts where install scripts were blocked, so that the package's library links are missing", async () => {
    const binaries = join(await folder(), "native");
    await cp(locatePostgres(), binaries, {
      recursive: true,
      filter: async (path) => !(await lstat(path)).isSymbolicLink(),
    });

    const { rows } = await query(await started({ binaries }), "select 1 as one");

    expect(rows).toEqual([{ one: 1 }]);
  });

  it("starts from a package only its owner may read", async () => {
    const parent = await folder();
    const binaries = join(parent, "native");
    await cp(locatePostgres(), binaries, { recursive: true });
    await makePrivate(parent);

    const { rows } = await query(await started({ binaries }), "select 1 as one");

    expect(rows).toEqual([{ one: 1 }]);
  });

  it("takes another place where the account may not enter the system's temporary directory", async () => {
    const closed = await folder();
    await chmod(closed, process.getuid?.() === 0 ? 0o700 : 0o500);
    vi.stubEnv("TMPDIR", closed);

    const server = await started().finally(() => vi.unstubAllEnvs());

    expect(server.directory.startsWith(closed)).toBe(false);
    expect(await readdir(closed)).toEqual([]);
  });

  it("leaves nothing when the program that started it is killed", async () => {
    const program = fileURLToPath(new URL("./start-embedded-postgres.ts", import.meta.url));
    const tsx = createRequire(import.meta.url).resolve("tsx");
    const child = fork(program, { execArgv: ["--import", tsx] });
    const [{ pid, directory }] = (await once(child, "message")) as [{ pid: number; directory: string }];

    child.kill("SIGKILL");

    await vi.waitUntil(() => !existsSync(directory) && !isAlive(pid), { timeout: 20_000, interval: 50 });
  });

  it("says what to do where there is no PostgreSQL to start", async () => {
    const binaries = join(await folder(), "none");

    await expect(startEmbeddedPostgres({ binaries })).rejects.toMatchObject({
      code: "CONFIG_INVALID",
      message: expect.stringContaining("DATABASE_URL"),
    });
    expect(() => locatePostgres("plan9", "mips")).toThrow(
      expect.objectContaining({ code: "CONFIG_INVALID", message: expect.stringContaining("DATABASE_URL") }),
    );
  });
});

async function started(options?: { binaries: string }): Promise<EmbeddedPostgres> {
  const server = await startEmbeddedPostgres(options);
  servers.push(server);
  return server;
}

async function query(server: Pick<EmbeddedPostgres, "url">, text: string): Promise<pg.QueryResult> {
  const client = new pg.Client({ connectionString: server.url });
  await client.connect();
  try {
    return await client.query(text);
  } finally {
    await client.end();
  }
}

async function makePrivate(path: string): Promise<void> {
  for (const entry of await readdir(path, { withFileTypes: true, recursive: true })) {
    const place = join(entry.parentPath, entry.name);
    if (entry.isFile()) await chmod(place, 0o600);
    if (entry.isDirectory()) await chmod(place, 0o700);
  }
}

async function folder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), "exclaim-binaries-"));
  folders.push(path);
  return path;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return !(error instanceof Error && "code" in error && error.code === "ESRCH");
  }
}
