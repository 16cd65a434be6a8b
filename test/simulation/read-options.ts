import { parseArgs } from "node:util";

/** What `npm run sim` was asked for. */
export interface SimOptions {
  readonly from: number;
  readonly seeds: number;
  /** This seed alone. */
  readonly seed: number | undefined;
  readonly workers: number;
  readonly keepsGoing: boolean;
  readonly isJson: boolean;
}

export const USAGE = `npm run sim -- [--seeds N] [--from S] [--workers W] [--keep-going] [--json]
npm run sim -- --seed S [--json]
    --seeds N      how many seeds (default 10,000)
    --from S       the first of them (default 1)
    --workers W    processes that share them (default 1)
    --keep-going   all seeds, also after one that failed
    --seed S       this seed alone, and its story
    --json         one object on stdout: { seeds, events, faults, violations }`;

const HIGHEST = 2 ** 32 - 1;

const OPTIONS = {
  seeds: { type: "string" },
  from: { type: "string" },
  seed: { type: "string" },
  workers: { type: "string" },
  "keep-going": { type: "boolean" },
  json: { type: "boolean", default: false },
} as const;

/** What says which seeds are run, and means nothing for one alone. */
const OF_MANY = ["seeds", "from", "workers", "keep-going"] as const;

/**
 * Throws an error whose message is one line for people: an option that is not known, whose value is no whole number in its range, or that
 * means nothing beside `--seed`.
 */
export function readOptions(args: readonly string[]): SimOptions {
  const values = parsed(args);
  const idle = values.seed === undefined ? undefined : OF_MANY.find((name) => values[name] !== undefined);
  if (idle !== undefined) throw new Error(`--seed runs one seed alone, and --${idle} is for many: leave one of them out`);
  return {
    from: wholeNumber("from", values.from ?? "1", 0),
    seeds: wholeNumber("seeds", values.seeds ?? "10000", 1),
    seed: values.seed === undefined ? undefined : wholeNumber("seed", values.seed, 0),
    workers: wholeNumber("workers", values.workers ?? "1", 1),
    keepsGoing: values["keep-going"] === true,
    isJson: values.json,
  };
}

function parsed(args: readonly string[]) {
  try {
    return parseArgs({ args: joined(args), options: OPTIONS }).values;
  } catch (error) {
    const [reason = ""] = String(error instanceof Error ? error.message : error).split(/\.\s|\n/);
    throw new Error(reason);
  }
}

/** `--seeds -5` as `--seeds=-5`: what begins with a dash is taken for an option else, and the number is not named as what is wrong. */
function joined(args: readonly string[]): string[] {
  const whole: string[] = [];
  for (const arg of args) {
    const last = whole.at(-1) ?? "";
    const takes = Object.entries(OPTIONS).some(([name, { type }]) => type === "string" && last === `--${name}`);
    if (takes && arg.startsWith("-")) whole.splice(-1, 1, `${last}=${arg}`);
    else whole.push(arg);
  }
  return whole;
}

function wholeNumber(name: string, text: string, least: number): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= least && value <= HIGHEST) return value;
  throw new Error(`--${name} must be a whole number from ${least} to ${HIGHEST}, and is "${text}"`);
}
