import { type ChildProcessByStdio, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterEach, describe, expect, it, vi } from "vitest";

const MAIN = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
const TIME_LIMIT_MS = 240_000;
const KEYS = ["users", "vouchers", "delivered", "withoutVoucher", "overwritten", "notifiedWrong", "doubled", "lost", "ms"];

const folders: string[] = [];
afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true });
});

describe("exclaim demo", { timeout: TIME_LIMIT_MS }, () => {
  it("shows two handlers that give vouchers away wrongly and one that does not, and leaves nothing behind", async () => {
    const { child, temporary } = await launch("--json");

    const [output, progress] = await Promise.all([text(child.stdout), text(child.stderr)]);
    await ended(child);

    const scores = JSON.parse(output);
    expect(Object.keys(scores)).toEqual(["naive", "lockAfterRead", "withClaim"]);
    for (const score of Object.values(scores)) {
      expect(Object.keys(score as object)).toEqual(KEYS);
      expect(score).toMatchObject({ users: 2_100, vouchers: 2_205, ms: expect.any(Number) });
    }
    expect(scores.withClaim).toMatchObject({ withoutVoucher: 0, overwritten: 0, notifiedWrong: 0, doubled: 0, lost: 0 });
    expect(scores.naive.withoutVoucher).toBeGreaterThan(0);
    expect(scores.naive.overwritten).toBeGreaterThan(0);
    expect(scores.naive.notifiedWrong).toBeGreaterThan(0);
    expect(scores.lockAfterRead.overwritten).toBeGreaterThan(0);
    expect(new Set(Object.values(scores).map((score) => (score as { delivered: number }).delivered)).size).toBe(1);
    expect(scores.withClaim.delivered).toBe(2_267);
    expect(progress).toContain("2100 users, 60 of them listed twice");
    expect(progress).toContain("1 pod killed and replaced");
    expect(child.exitCode).toBe(0);
    expect(await readdir(temporary)).toEqual([]);
  });

  it("ends its processes and removes its directories when it is interrupted", async () => {
    const { child, temporary } = await launch();
    let progress = "";
    child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
      progress += chunk;
    });
    await vi.waitUntil(() => /update: \d+ of/.test(progress), { timeout: 120_000, interval: 50 });
    const children = await childrenOf(child.pid);

    child.kill("SIGINT");
    await ended(child);

    expect(child.exitCode).toBe(130);
    expect(children.length).toBeGreaterThan(4);
    expect(children.filter(isAlive)).toEqual([]);
    expect(await readdir(temporary)).toEqual([]);
  });
});

type Demo = ChildProcessByStdio<null, Readable, Readable>;

/** Runs the demo on servers of its own, with a temporary directory of its own to look into afterwards. */
async function launch(...args: readonly string[]): Promise<{ child: Demo; temporary: string }> {
  const temporary = await mkdtemp(join(tmpdir(), "exclaim-demo-"));
  folders.push(temporary);
  await chmod(temporary, 0o755);
  const { DATABASE_URL, REDIS_URL, ...env } = process.env;
  const child = spawn(process.execPath, [MAIN, "demo", ...args], {
    env: { ...env, TMPDIR: temporary },
    stdio: ["ignore", "pipe", "pipe"],
  });
  return { child, temporary };
}

async function ended(child: Demo): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
}

async function childrenOf(pid: number | undefined): Promise<number[]> {
  const { stdout } = await promisify(execFile)("ps", ["-A", "-o", "pid=,ppid="]);
  const pairs = stdout
    .trim()
    .split("\n")
    .map((line) => line.trim().split(/ +/).map(Number));
  return pairs.filter(([, parent]) => parent === pid).map(([child]) => child ?? 0);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
