import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const MAIN = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
const TIME_LIMIT_MS = 30_000;

describe("the command line", { timeout: TIME_LIMIT_MS }, () => {
  it.each([[[]], [["dmeo"]], [["demo", "twice"]], [["demo", "--jsno"]], [["--json=yes", "demo"]]])(
    "exits with 2 for %j and says where help is",
    async (args) => {
      const { code, stdout, stderr } = await run(args);

      expect(code).toBe(2);
      expect(stdout).toBe("");
      expect(stderr).toContain("exclaim --help");
    },
  );

  it.each(["--help", "-h"])("prints every command, option, variable and exit code with %s", async (flag) => {
    const { code, stdout } = await run(["demo", flag]);

    expect(code).toBe(0);
    for (const word of ["demo", "--json", "--version", "DATABASE_URL", "REDIS_URL", "AMQP_URL", "130"])
      expect(stdout).toContain(word);
    for (const exitCode of [0, 1, 2, 3]) expect(stdout).toMatch(new RegExp(`^ +${exitCode} `, "m"));
  });

  it("prints the version of the package", async () => {
    const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8"));

    expect(await run(["--version"])).toMatchObject({ code: 0, stdout: `${version}\n` });
  });

  it("exits with 3 when the database does not answer, and keeps its password to itself", async () => {
    const { code, stdout, stderr } = await run(["demo", "--json"], { DATABASE_URL: "postgres://me:hunter2@127.0.0.1:1/none" });

    expect(code).toBe(3);
    expect(stdout).toBe("");
    expect(stderr).toContain("DATABASE_URL");
    expect(stderr).not.toContain("hunter2");
  });
});

function run(args: readonly string[], env: Record<string, string> = {}) {
  return new Promise<{ code: number | null; stdout: string; stderr: string }>((resolve) => {
    const child = execFile(process.execPath, [MAIN, ...args], { env: { ...process.env, ...env } }, (_error, stdout, stderr) => {
      resolve({ code: child.exitCode, stdout, stderr });
    });
  });
}
