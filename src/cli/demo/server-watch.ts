import { spawn } from "node:child_process";
import { once } from "node:events";

/**
 * Waits for the end of its input, ends the PostgreSQL whose data are in the directory, waits up to ten seconds until that has
 * taken its pid file away (a process nobody reaps could not be told from a live one), and removes the directory; once more a
 * second later, since an initdb that was still at work may have written again.
 */
const SCRIPT = `
  read -r _
  file="$0/data/postmaster.pid"
  pid=$(head -n 1 "$file" 2>/dev/null)
  [ -z "$pid" ] || kill -INT "$pid" 2>/dev/null
  tries=100
  while [ -e "$file" ] && [ $tries -gt 0 ]; do sleep 0.1; tries=$((tries - 1)); done
  rm -rf "$0"
  sleep 1
  rm -rf "$0"
`;

/**
 * Sees to it that a server and its directory do not outlive this process, whichever way it ends: a shell of its own session
 * reads from a pipe that only this process holds, and the kernel closes that when the process is gone, after SIGKILL too.
 * Shape: `directory` is removed whole; the server's data are in its `data`.
 * Returns the function that ends the watch, to be called once the directory is removed.
 */
export function watchServer(directory: string): () => Promise<void> {
  // There is no such shell on Windows: there the server ends with stop() alone.
  if (process.platform === "win32") return async () => {};
  const shell = spawn("/bin/sh", ["-c", SCRIPT, directory], { cwd: "/", stdio: ["pipe", "ignore", "ignore"], detached: true });
  // Without a shell the demo is as good as before, only less tidy after SIGKILL.
  shell.on("error", () => {});
  shell.stdin.on("error", () => {});
  shell.unref();
  return async () => {
    if (shell.pid === undefined || shell.exitCode !== null || shell.signalCode !== null) return;
    const gone = once(shell, "exit");
    shell.ref();
    shell.kill("SIGKILL");
    await gone;
  };
}
