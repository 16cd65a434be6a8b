import { createServer, type Server } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { redactor } from "../../src/cli/redact.ts";
import { runLine } from "./run-line.ts";

const CANARY = "k4n/ari#en";
const ESCAPED = encodeURIComponent(CANARY);

describe("passwords", () => {
  let silent: Server;
  let port = 0;
  beforeAll(async () => {
    // Takes connections and ends them: what every driver makes an error of its own of.
    silent = createServer((socket) => socket.destroy());
    await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
    port = (silent.address() as { port: number }).port;
  });
  afterAll(() => void silent.close());

  // Planted: no redaction of what is written to stderr.
  it.each([
    ["the environment", {}, ["migrate"], 3],
    ["the environment, with stacks", {}, ["migrate", "--verbose"], 3],
    [
      "a flag",
      {},
      ["migrate", "--verbose", "--database-url", `postgres://me:${ESCAPED}@127.0.0.1:1/db?password=${ESCAPED}`],
      3,
    ],
    ["an argument too many", {}, ["migrate", `postgres://me:${CANARY}@127.0.0.1/db`], 2],
    ["an option that is none", {}, ["migrate", `--databse-url=postgres://me:${CANARY}@127.0.0.1/db`], 2],
    ["an address that is none", { DATABASE_URL: `postgres://me:${CANARY}@127.0.0.1:x/db` }, ["migrate", "--verbose"], 2],
    ["an address of another kind", { DATABASE_URL: `mysql://me:${ESCAPED}@127.0.0.1/db` }, ["claims", "list"], 2],
    [
      "a file's name",
      {},
      ["import", `redis://:${CANARY}@h`, "--key", "k", "--queue", "q", "--redis-url", `redis://:${ESCAPED}@h`],
      2,
    ],
  ])("in %s are printed nowhere", async (_where, env, args, expected) => {
    const withServer = { DATABASE_URL: `postgres://me:${ESCAPED}@127.0.0.1:${port}/db`, ...env };

    const { code, stdout, stderr } = await runLine(args, { env: withServer });

    expect(code).toBe(expected);
    expect(stderr).not.toBe("");
    for (const secret of [CANARY, ESCAPED]) expect(stdout + stderr).not.toContain(secret);
  });

  it("are taken out of what a driver tells, however they are written, and names are left", () => {
    const redact = redactor({ DATABASE_URL: `postgres://alice:${ESCAPED}@db.example/x`, PGPASSWORD: "hunter2" }, []);

    expect(redact(`no login for alice with ${CANARY} or hunter2`)).toBe("no login for alice with *** or ***");
    expect(redact("amqp://guest:s3cret@mq.example/v?heartbeat=1")).toBe("amqp://***@mq.example/v?heartbeat=1");
    expect(redact("redis://h/0?password=abc&x=1")).toBe("redis://h/0?password=***&x=1");
  });
});

describe("a server that is not there", () => {
  it.each([
    ["refuses", "postgres://me@127.0.0.1:1/db"],
    ["has no address", "postgres://me@nowhere.invalid/db"],
  ])("and %s is told in one line, with code 3", async (_how, url) => {
    const { code, stdout, stderr } = await runLine(["claims", "list"], { env: { DATABASE_URL: url } });

    expect(code).toBe(3);
    expect(stdout).toBe("");
    expect(stderr).toMatch(
      /^exclaim: DATABASE_UNREACHABLE: the server of DATABASE_URL does not answer as it should: [^\n]+\n$/,
    );
  });

  it("is told with its stack and causes by --verbose", async () => {
    const { stderr } = await runLine(["claims", "list", "--verbose"], {
      env: { DATABASE_URL: "postgres://me@127.0.0.1:1/db" },
    });

    expect(stderr).toMatch(/ExclaimError: the server .*\n +at /);
    expect(stderr).toMatch(/caused by .*ECONNREFUSED/);
  });
});
