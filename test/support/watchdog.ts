import { type ChildProcess, spawn } from "node:child_process";

/**
 * Reads lines that say which process to watch. Its input ends when the process that started it is gone, however that
 * died, since the system then closes the pipe: it ends the server, by force after ten seconds, and removes the folder.
 */
const SCRIPT = `
folder=$1 signal=$2 pid=
while read -r word value; do
  case $word in
    watch) pid=$value ;;
    forget) pid= ;;
    done) exit 0 ;;
  esac
done
if [ -n "$pid" ]; then
  kill -s "$signal" "$pid"
  kill -s CONT "$pid"
  tries=0
  while kill -0 "$pid" && [ "$tries" -lt 100 ]; do
    sleep 0.1
    tries=$((tries + 1))
  done
  kill -s KILL "$pid"
fi
rm -rf "$folder"
`;

/**
 * Ends a server and removes its folder when this process ends without having done so: interrupted, crashed or killed.
 * Shape: one shell a server. It is a session of its own, so that Ctrl-C in a terminal does not end it with the rest.
 */
export class Watchdog {
  readonly #shell: ChildProcess;

  constructor(folder: string, endSignal: NodeJS.Signals) {
    this.#shell = spawn("sh", ["-c", SCRIPT, "exclaim-watchdog", folder, endSignal.replace("SIG", "")], {
      detached: true,
      stdio: ["pipe", "ignore", "ignore"],
    });
    this.#shell.unref();
    this.#shell.stdin?.on("error", () => {});
    if (this.#shell.stdin !== null && "unref" in this.#shell.stdin && typeof this.#shell.stdin.unref === "function") {
      this.#shell.stdin.unref();
    }
  }

  watch(pid: number): void {
    this.#tell(`watch ${pid}`);
  }

  /** The process has ended; its id may soon be another's. */
  forget(): void {
    this.#tell("forget");
  }

  /** The folder is removed: nothing is left to do. Resolves once the shell is gone. */
  async dismiss(): Promise<void> {
    const ended = new Promise<void>((resolve) => {
      this.#shell.once("exit", () => resolve());
    });
    this.#shell.ref();
    this.#tell("done");
    if (this.#shell.exitCode === null && this.#shell.signalCode === null) {
      await ended;
    }
  }

  #tell(line: string): void {
    this.#shell.stdin?.write(`${line}\n`);
  }
}
