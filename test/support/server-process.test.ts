import { spawn } from "node:child_process";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Redis } from "ioredis";
import pg from "pg";
import { afterEach, describe, expect, it, onTestFinished } from "vitest";
import { eventually } from "./eventually.ts";
import { freshDatabase, startPostgres } from "./postgres.ts";
import { isRunning } from "./process-tree.ts";
import { startRedisNode, startRedisNodes } from "./redis.ts";
import type { ServerProcess } from "./server-process.ts";

const started: ServerProcess[] = [];

afterEach(async () => {
  await Promise.all(started.splice(0).map((server) => server.stop()));
});

describe("a fresh database", () => {
  it("is empty and nobody else's", async () => {
    const [first, second] = await Promise.all([freshDatabase(), freshDatabase()]);

    await first.pool.query("create table voucher_item (id int primary key)");
    const seenBySecond = await second.pool.query("select to_regclass('voucher_item') as found");

    expect(first.url).not.toBe(second.url);
    expect(seenBySecond.rows).toEqual([{ found: null }]);
    await Promise.all([first.drop(), second.drop()]);
  });

  it("is gone after drop, which complains of a client that was not returned", async () => {
    const database = await freshDatabase();
    const client = await database.pool.connect();
    client.on("error", () => {});

    const dropping = database.drop();

    await expect(dropping).rejects.toThrow(/was taken and not returned/);
    const late = new pg.Client({ connectionString: database.url });
    await expect(late.connect()).rejects.toMatchObject({ code: "3D000" });
    client.release(true);
  });
});

describe("a Redis of our own", () => {
  it("answers nothing while it hangs and goes on where it was", async () => {
    const node = await startNode();
    const client = connect(node);
    await client.set("key", "before");

    node.hang();
    const whileHung = client.get("key");
    const firstToHappen = await Promise.race([whileHung, new Promise((resolve) => setTimeout(resolve, 300, "silence"))]);
    node.resume();

    expect(firstToHappen).toBe("silence");
    await expect(whileHung).resolves.toBe("before");
  });

  it("is gone when killed and comes back empty on the same port", async () => {
    const node = await startNode();
    const firstPid = node.pid;
    const { url } = node;
    await connect(node).set("key", "before");

    await node.kill();
    const ranAfterKill = isRunning(firstPid);
    await node.restart();

    expect(ranAfterKill).toBe(false);
    expect(node.url).toBe(url);
    expect(node.pid).not.toBe(firstPid);
    await expect(connect(node).get("key")).resolves.toBeNull();
  });

  it("can be killed and stopped while it hangs", async () => {
    const nodes = await startRedisNodes(2);
    started.push(...nodes);
    const [first, second] = nodes;
    first?.hang();
    second?.hang();

    await first?.kill();
    await second?.stop();

    expect(nodes.map((node) => isRunning(node.pid))).toEqual([false, false]);
  });

  it("refuses a port that another has", async () => {
    const node = await startNode();

    const starting = startRedisNode({ port: node.port });

    await expect(starting).rejects.toThrow(/Address already in use/);
  });

  it.each(["SIGKILL", "SIGTERM", "SIGINT"] as const)(
    "ends, with its folder, when the process that started it dies of %s",
    async (signal) => {
      const folder = await mkdtemp(join(tmpdir(), "exclaim-test-crash-"));
      onTestFinished(() => rm(folder, { recursive: true, force: true }));

      const pid = await pidStartedByCrashingProgram(signal, folder);

      expect(pid).toBeGreaterThan(0);
      await eventually(() => !isRunning(pid), { what: "the end of the orphaned server" });
      await eventually(async () => expect(await readdir(folder)).toEqual([]), { what: "the removal of its folder" });
    },
  );
});

describe("a PostgreSQL of our own", () => {
  it("keeps what was committed through SIGKILL and restart", async () => {
    const server = await startServer();
    const firstPid = server.pid;
    await query(server, "create table voucher_item as select 7 as id");

    await server.kill();
    const refused = await query(server, "select 1").catch((error: Error) => error);
    await server.restart();

    expect(refused).toMatchObject({ code: "ECONNREFUSED" });
    expect(server.pid).not.toBe(firstPid);
    await expect(query(server, "select id from voucher_item")).resolves.toEqual([{ id: 7 }]);
  });

  it("takes the connections it has with it when it hangs or is killed", async () => {
    const server = await startServer();
    const client = new pg.Client({ connectionString: server.url });
    client.on("error", () => {});
    await client.connect();
    const backendPid = Number((await client.query("select pg_backend_pid() as pid")).rows[0].pid);

    server.hang();
    const whileHung = client.query("select 1").then(
      () => "answered",
      () => "cut",
    );
    const firstToHappen = await Promise.race([whileHung, new Promise((resolve) => setTimeout(resolve, 300, "silence"))]);
    await server.kill();

    expect(firstToHappen).toBe("silence");
    await expect(whileHung).resolves.toBe("cut");
    expect(isRunning(backendPid)).toBe(false);
  });
});

async function startNode(): Promise<ServerProcess> {
  const node = await startRedisNode();
  started.push(node);
  return node;
}

async function startServer(): Promise<ServerProcess> {
  const server = await startPostgres();
  started.push(server);
  return server;
}

function connect(node: ServerProcess): Redis {
  const client = new Redis(node.url);
  client.on("error", () => {});
  onTestFinished(() => client.disconnect());
  return client;
}

async function query(server: ServerProcess, statement: string): Promise<unknown[]> {
  const client = new pg.Client({ connectionString: server.url });
  client.on("error", () => {});
  try {
    await client.connect();
    return (await client.query(statement)).rows;
  } finally {
    await client.end().catch(() => {});
  }
}

/** Resolves with the id of the server once the program that started it has died of the signal. */
function pidStartedByCrashingProgram(signal: NodeJS.Signals, temporaryFolder: string): Promise<number> {
  const program = fileURLToPath(new URL("./crashing-starter.ts", import.meta.url));
  return new Promise((resolve, reject) => {
    let output = "";
    const child = spawn(process.execPath, ["--import", "tsx", program, signal], {
      env: { ...process.env, TMPDIR: temporaryFolder },
      stdio: ["ignore", "pipe", "inherit"],
    });
    child.stdout.on("data", (chunk) => {
      output += chunk;
    });
    child.once("error", reject);
    child.once("close", (_exitCode, endedBy) => {
      if (endedBy === signal) {
        resolve(Number(output));
      } else {
        reject(new Error(`The program ended by ${endedBy} instead of ${signal}.`));
      }
    });
  });
}
