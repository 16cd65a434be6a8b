import { setImmediate } from "node:timers/promises";

/** A command under way: the test decides when it is answered, and how. */
export interface Command {
  /** What was asked: the script's name and how it was sent, or the command's own name. */
  readonly what: string;
  readonly args: readonly unknown[];
  /** Resolves once whoever asked had its turn. */
  answer(reply: unknown): Promise<void>;
  fail(message: string): Promise<void>;
}

/** A client that answers nothing by itself. */
export interface ScriptedClient {
  readonly commands: readonly Command[];
  /** What was asked so far, in order. */
  log(): string[];
  evalsha(...args: unknown[]): Promise<unknown>;
  eval(...args: unknown[]): Promise<unknown>;
  get(key: string): Promise<unknown>;
  pttl(key: string): Promise<unknown>;
  wait(count: number, timeoutMs: number): Promise<unknown>;
  readonly options: { readonly host: string; readonly port: number };
}

export const NO_SCRIPT = "NOSCRIPT No matching script. Please use EVAL.";

/** `names` tells a script by its digest or its text. */
export function scriptedClient(names: ReadonlyMap<string, string>, port = 1): ScriptedClient {
  const commands: Command[] = [];
  const record = (what: string, args: readonly unknown[]) =>
    new Promise<unknown>((resolve, reject) => {
      commands.push({
        what,
        args,
        answer: async (reply) => {
          resolve(reply);
          await setImmediate();
        },
        fail: async (message) => {
          reject(new Error(message));
          await setImmediate();
        },
      });
    });
  const nameOf = (args: readonly unknown[]) => names.get(String(args.flat()[0])) ?? "an unknown script";
  return {
    commands,
    log: () => commands.map(({ what }) => what),
    evalsha: (...args) => record(`${nameOf(args)} evalsha`, args),
    eval: (...args) => record(`${nameOf(args)} eval`, args),
    get: (key) => record("get", [key]),
    pttl: (key) => record("pttl", [key]),
    wait: (count, timeoutMs) => record("wait", [count, timeoutMs]),
    options: { host: "node", port },
  };
}

/** A clock whose timers never fire. */
export function standingClock(): { now(): number; after(): () => void; move(ms: number): void } {
  let nowMs = 0;
  return {
    now: () => nowMs,
    after: () => () => {},
    move: (ms) => {
      nowMs += ms;
    },
  };
}
