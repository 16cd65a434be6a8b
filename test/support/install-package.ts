import { spawn } from "node:child_process";
import { existsSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { locateBinaries } from "./locate-binaries.ts";
import { note } from "./note.ts";

const POLICY_FILE = "/usr/sbin/policy-rc.d";
const LOCK_WAIT_SECONDS = 300;
const COMMAND_TIMEOUT_MS = 600_000;

let queue: Promise<unknown> = Promise.resolve();

/** Why nothing can be installed on this machine, or undefined when it can. */
export function obstacleToInstalling(): string | undefined {
  if (locateBinaries(["apt-get"], []) === undefined) {
    return "apt-get is not on this machine";
  }
  return process.getuid?.() === 0 ? undefined : "installing with apt-get needs root";
}

/**
 * Installs a Debian package, unless `isThere` says that it came while we waited. Calls of this process wait for each
 * other, and for other processes that hold apt's locks.
 * After: its programs are there and none of its services was started.
 * Throws with the end of apt-get's output.
 */
export function installPackage(debianPackage: string, isThere: () => boolean): Promise<void> {
  const installed = queue.then(() => (isThere() ? undefined : install(debianPackage)));
  queue = installed.catch(() => {});
  return installed;
}

async function install(debianPackage: string): Promise<void> {
  note(`installing the Debian package ${debianPackage} with apt-get`);
  await updateLists();
  const allowServices = forbidServices();
  try {
    const result = await aptGet(["install", "-y", "--no-install-recommends", debianPackage]);
    if (result.exitCode !== 0) {
      throw new Error(`apt-get install ${debianPackage} failed: ${result.output.slice(-1_000)}`);
    }
  } finally {
    allowServices();
  }
}

/** Unlike install, update does not wait for another apt by itself. Old lists may still do, so any other failure is only noted. */
async function updateLists(): Promise<void> {
  const deadline = performance.now() + LOCK_WAIT_SECONDS * 1_000;
  for (;;) {
    const result = await aptGet(["update"]);
    if (result.exitCode === 0) {
      return;
    }
    if (!/could not get lock|unable to lock/i.test(result.output) || performance.now() > deadline) {
      note(`apt-get update failed, going on with the lists there are: ${result.output.slice(-500)}`);
      return;
    }
    await delay(1_000);
  }
}

/**
 * Keeps Debian from starting a server as soon as it is installed, unless the machine has a policy of its own.
 * Died in between: the file stays, and allows everything, since it forbids only while this process lives.
 */
function forbidServices(): () => void {
  if (existsSync(POLICY_FILE) || !existsSync(join(POLICY_FILE, ".."))) {
    return () => {};
  }
  writeFileSync(POLICY_FILE, `#!/bin/sh\nkill -0 ${process.pid} 2>/dev/null && exit 101\nexit 0\n`, { mode: 0o755 });
  return () => rmSync(POLICY_FILE, { force: true });
}

function aptGet(args: readonly string[]): Promise<{ exitCode: number | null; output: string }> {
  return new Promise((resolve, reject) => {
    let output = "";
    const child = spawn("apt-get", ["-o", `DPkg::Lock::Timeout=${LOCK_WAIT_SECONDS}`, ...args], {
      env: { ...process.env, DEBIAN_FRONTEND: "noninteractive", LC_ALL: "C" },
      stdio: ["ignore", "pipe", "pipe"],
      timeout: COMMAND_TIMEOUT_MS,
    });
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (chunk: string) => {
        output += chunk;
      });
    }
    child.once("error", reject);
    child.once("close", (exitCode) => resolve({ exitCode, output }));
  });
}
