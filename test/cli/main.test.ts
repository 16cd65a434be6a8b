import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const MAIN = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
const TIME_LIMIT_MS = 30_000;

describe("the command line", { timeout: TIME_LIMIT_MS }, () => {
  it("exits with 2 where it is not understood, and says where help is", async () => {
    const { code, stdout, stderr } = await run(["demo", "twice"]);

    expect(code).toBe(2);
    expect(stdout).toBe("");
    expect(stderr).toContain("exclaim demo --help");
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
