import type { LockCommand } from "../../checker/history.ts";
import { type MonitoredCommand, parseMonitorLine } from "./monitor-line.ts";

/** In every key of a lock, after the prefix that a back-end was given. */
const MARK = "exclaim:";

/** What a script asks next when it did not come by the key. */
const ASKING = new Set(["get", "pttl", "type"]);

/** The server reads its clock after it has shown the script's call, and shows the command at about that time. */
interface Value {
  readonly owner: string;
  readonly endsNotBeforeMs: number;
  readonly endsAboutMs: number;
}

/** What a script was called with, and when. */
interface Call {
  readonly timeMs: number;
  readonly keys: readonly string[];
  readonly args: readonly string[];
}

type Happened = Pick<LockCommand, "key" | "owner" | "did" | "was" | "ttlMs">;

/**
 * Follows the locks of one Redis by the lines of its monitor: who took a key, let it last longer or deleted it, and whose it was.
 * What it cannot know it tells to the advantage of who did it: whose key it was before it began to look or while it could not, and
 * what becomes of a key in the moment of its end.
 */
export class LockWitness {
  readonly #node: string;
  readonly #monotonicOf: (timeMs: number) => number;
  /** Null: known not to be there. Absent: not known. */
  readonly #values = new Map<string, Value | null>();
  #call: Call = { timeMs: 0, keys: [], args: [] };
  /** A SET NX of a script, whose success the next line tells: a script that failed goes on to ask about the key. */
  #pending: { readonly key: string; readonly value: Value; readonly timeMs: number } | undefined;
  #n = 0;
  #commands: LockCommand[] = [];

  /** `monotonicOf` turns the server's time of day into the clock of the history. */
  constructor(node: string, monotonicOf: (timeMs: number) => number) {
    this.#node = node;
    this.#monotonicOf = monotonicOf;
  }

  /** What it has seen since this was last asked. */
  take(): LockCommand[] {
    const commands = this.#commands;
    this.#commands = [];
    return commands;
  }

  /** The view was interrupted. */
  forget(): void {
    this.#values.clear();
    this.#pending = undefined;
  }

  see(line: string): void {
    const command = parseMonitorLine(line);
    if (command === undefined) return;
    this.#settlePending(command);
    const { name, args } = command;
    if (name === "eval" || name === "evalsha") this.#call = callOf(command);
    else if (name === "set") this.#set(command);
    else if (name === "del" || name === "unlink") for (const key of args) this.#delete(command, key);
    else if (name === "pexpire") this.#expire(command);
    else if (name === "flushall" || name === "flushdb") this.forget();
  }

  #settlePending({ isInScript, name, args }: MonitoredCommand): void {
    if (this.#pending === undefined) return;
    const { key, value, timeMs } = this.#pending;
    this.#pending = undefined;
    if (isInScript && ASKING.has(name) && args[0] === key) return;
    this.#values.set(key, value);
    this.#tell(timeMs, { key, owner: value.owner, did: "acquired", was: null, ttlMs: value.endsNotBeforeMs - timeMs });
  }

  #set(command: MonitoredCommand): void {
    const { args, timeMs, isInScript } = command;
    const [key = "", owner = "", ...options] = args;
    if (!key.includes(MARK)) return;
    const words = options.map((word) => word.toUpperCase());
    const value = this.#valueOf(command, owner, Number(options[words.indexOf("PX") + 1]));
    if (words.includes("NX")) {
      // Outside of a script nothing shows whether it came by the key.
      if (isInScript) this.#pending = { key, value, timeMs };
      else this.#values.delete(key);
      return;
    }
    const before = this.#values.get(key);
    const was = before != null && timeMs < before.endsNotBeforeMs ? before.owner : null;
    this.#values.set(key, value);
    const did = was === owner ? "extended" : "acquired";
    this.#tell(timeMs, { key, owner, did, was, ttlMs: value.endsNotBeforeMs - timeMs });
  }

  #delete(command: MonitoredCommand, key: string): void {
    if (!key.includes(MARK)) return;
    const was = this.#ownerOf(command, key) ?? null;
    this.#values.set(key, null);
    this.#tell(command.timeMs, { key, owner: this.#callerOf(command, key), did: "released", was });
  }

  #expire(command: MonitoredCommand): void {
    const [key = "", ttl] = command.args;
    if (!key.includes(MARK)) return;
    const was = this.#ownerOf(command, key);
    if (was === undefined) return;
    const value = this.#valueOf(command, was ?? "", Number(ttl));
    if (was !== null) this.#values.set(key, value);
    const ttlMs = value.endsNotBeforeMs - command.timeMs;
    this.#tell(command.timeMs, { key, owner: this.#callerOf(command, key), did: "extended", was, ttlMs });
  }

  #valueOf(command: MonitoredCommand, owner: string, ttlMs: number): Value {
    return { owner, endsNotBeforeMs: this.#notAfter(command) + ttlMs, endsAboutMs: command.timeMs + ttlMs };
  }

  /** Undefined when it is not known. */
  #ownerOf(command: MonitoredCommand, key: string): string | null | undefined {
    const value = this.#values.get(key);
    if (value == null) return value;
    return this.#notAfter(command) > value.endsAboutMs ? null : value.owner;
  }

  /** A time that the clock which the server went by had reached. */
  #notAfter({ isInScript, timeMs }: MonitoredCommand): number {
    return isInScript ? Math.min(this.#call.timeMs, timeMs) : timeMs;
  }

  /** For each key a script has the owner and the ttl, in that order. Who is in no script is nobody that we know. */
  #callerOf({ isInScript }: MonitoredCommand, key: string): string {
    return isInScript ? (this.#call.args[2 * Math.max(0, this.#call.keys.indexOf(key))] ?? "") : "";
  }

  #tell(timeMs: number, happened: Happened): void {
    this.#n += 1;
    const at = this.#monotonicOf(timeMs);
    this.#commands.push({ what: "lock", at, by: `monitor-${this.#node}`, n: this.#n, node: this.#node, ...happened });
  }
}

function callOf({ timeMs, args: [, count = "0", ...rest] }: MonitoredCommand): Call {
  return { timeMs, keys: rest.slice(0, Number(count)), args: rest.slice(Number(count)) };
}
