import { existsSync, readdirSync } from "node:fs";
import { parseArgs } from "node:util";
import { ACTIONS, BROKERS, LOCKS } from "./failpoint.ts";
import type { ChaosOptions } from "./run-chaos.ts";

/** How the program is called. */
export const USAGE = [
  "npm run chaos -- [--minutes number] [--seconds number] [--seed number] [--brokers name,...] [--locks name,...]",
  "  [--faults part,...] [--keep folder] [--json]",
  `brokers: ${BROKERS.join(", ")}`,
  `locks: ${LOCKS.join(", ")}`,
  `faults, by parts of their names: ${ACTIONS.join("; ")}`,
].join("\n");

const OPTIONS = {
  minutes: { type: "string", default: "1" },
  seed: { type: "string", default: "1" },
  brokers: { type: "string", default: BROKERS.join(",") },
  locks: { type: "string", default: LOCKS.join(",") },
  faults: { type: "string" },
  seconds: { type: "string", default: "40" },
  keep: { type: "string" },
  json: { type: "boolean", default: false },
} as const;

/** What the program is asked for by the words after its name. Throws, in one line, for what is not understood. */
export function chaosArguments(words: readonly string[]): ChaosOptions & { readonly isJson: boolean } {
  const values = parsed(words);
  return {
    minutes: positive("minutes", values.minutes),
    seed: positive("seed", values.seed),
    brokers: chosen("brokers", values.brokers, BROKERS),
    locks: chosen("locks", values.locks, LOCKS),
    actions: values.faults === undefined ? [] : chosenActions(values.faults),
    episodeMs: positive("seconds", values.seconds) * 1_000,
    ...(values.keep === undefined ? {} : { keep: emptyFolder(values.keep) }),
    isJson: values.json,
  };
}

function parsed(words: readonly string[]) {
  try {
    return parseArgs({ args: [...words], options: OPTIONS }).values;
  } catch (error) {
    const flags = Object.keys(OPTIONS).map((name) => `--${name}`);
    const [reason = ""] = String(error instanceof Error ? error.message : error).split(/\.\s|\n/);
    throw new Error(`${reason}; known are ${flags.join(", ")}`);
  }
}

function positive(name: string, text: string): number {
  const number = Number(text);
  if (text.trim() !== "" && Number.isFinite(number) && number > 0) return number;
  throw new Error(`--${name} must be a number above 0, and is "${text}"`);
}

/** The logs of two runs in one place would be judged as one. */
function emptyFolder(folder: string): string {
  if (!existsSync(folder) || readdirSync(folder).length === 0) return folder;
  throw new Error(`--keep: there is something in ${folder} already`);
}

function chosen<T extends string>(name: string, text: string, known: readonly T[]): readonly T[] {
  const names = text.split(",");
  const unknown = names.find((part) => !known.includes(part as T));
  if (unknown !== undefined) throw new Error(`--${name}: "${unknown}" is none of ${known.join(", ")}`);
  return known.filter((candidate) => names.includes(candidate));
}

/** Each part names the actions that it is a part of. */
function chosenActions(text: string): readonly (typeof ACTIONS)[number][] {
  const parts = text.split(",");
  const unknown = parts.find((part) => part === "" || !ACTIONS.some((action) => action.includes(part)));
  if (unknown !== undefined) throw new Error(`--faults: "${unknown}" is in none of: ${ACTIONS.join("; ")}`);
  return ACTIONS.filter((action) => parts.some((part) => action.includes(part)));
}
