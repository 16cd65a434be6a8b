import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";

const FREEZE_LIMIT_MS = 500;

interface ProcessEntry {
  readonly pid: number;
  readonly parentPid: number;
  /** The state letter of ps: T is stopped, Z is ended but not yet reaped. */
  readonly state: string;
}

/** Whether the process still runs. One that has ended and waits for its parent to notice does not. */
export function isRunning(pid: number): boolean {
  const state = stateOf(pid);
  return state !== undefined && state !== "Z";
}

/** Stops the process, then all it has started, so that from then on none of them does or starts anything. */
export function freezeTree(pid: number): number[] {
  const frozen: number[] = [];
  for (let next: number | undefined = pid; next !== undefined; next = unfrozenDescendant(pid, frozen)) {
    send(next, "SIGSTOP");
    waitUntilStopped(next);
    frozen.push(next);
  }
  return frozen;
}

/** Lets a stopped process and all it has started go on. */
export function thawTree(pid: number): void {
  for (const member of [...descendants(pid), pid]) {
    send(member, "SIGCONT");
  }
}

/** Kills the process and all it has started, and returns their ids. None of them has a chance to act. */
export function killTree(pid: number): number[] {
  const members = freezeTree(pid);
  for (const member of members) {
    send(member, "SIGKILL");
  }
  return members;
}

/** Sends a signal. A process that is gone already is no error. */
export function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") {
      throw error;
    }
  }
}

function unfrozenDescendant(pid: number, frozen: readonly number[]): number | undefined {
  return descendants(pid).find((member) => !frozen.includes(member));
}

function descendants(pid: number): number[] {
  const entries = listProcesses().filter((entry) => entry.state !== "Z");
  const found = [pid];
  for (const ancestor of found) {
    found.push(...entries.filter((entry) => entry.parentPid === ancestor).map((entry) => entry.pid));
  }
  return found.slice(1);
}

/** A signal is sent before it takes effect. The wait is short and blocks, since `hang()` must hold when it returns. */
function waitUntilStopped(pid: number): void {
  const deadline = performance.now() + FREEZE_LIMIT_MS;
  while (performance.now() < deadline) {
    const state = stateOf(pid);
    if (state === undefined || state === "T" || state === "Z") {
      return;
    }
  }
}

function stateOf(pid: number): string | undefined {
  const entry = process.platform === "linux" ? readFromProc(pid) : listFromPs().find((candidate) => candidate.pid === pid);
  return entry?.state;
}

function listProcesses(): ProcessEntry[] {
  return process.platform === "linux" ? listFromProc() : listFromPs();
}

/** Debian without procps has no ps. */
function listFromProc(): ProcessEntry[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => readFromProc(Number(name)) ?? []);
}

function readFromProc(pid: number): ProcessEntry | undefined {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  } catch {
    return undefined;
  }
  // The second field is the program's name in brackets, which may itself hold spaces and brackets.
  const [state = "", parentPid] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return { pid, parentPid: Number(parentPid), state };
}

function listFromPs(): ProcessEntry[] {
  const { stdout } = spawnSync("ps", ["-A", "-o", "pid=,ppid=,state="], { encoding: "utf8" });
  return stdout
    .trim()
    .split("\n")
    .map((line) => {
      const [pid, parentPid, state = ""] = line.trim().split(/\s+/);
      return { pid: Number(pid), parentPid: Number(parentPid), state: state.charAt(0) };
    });
}
