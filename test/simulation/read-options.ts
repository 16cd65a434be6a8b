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

const MAX_SEED = 2 ** 32;

/** Throws an error whose message is one line for people: an option that is not known, or whose value is no whole number in its range. */
export function readOptions(args: readonly string[]): SimOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      seeds: { type: "string", default: "10000" },
      from: { type: "string", default: "1" },
      seed: { type: "string" },
      workers: { type: "string", default: "1" },
      "keep-going": { type: "boolean", default: false },
      json: { type: "boolean", default: false },
    },
  });
  return {
    from: wholeNumber("from", values.from, 0),
    seeds: wholeNumber("seeds", values.seeds, 1),
    seed: values.seed === undefined ? undefined : wholeNumber("seed", values.seed, 0),
    workers: wholeNumber("workers", values.workers, 1),
    keepsGoing: values["keep-going"],
    isJson: values.json,
  };
}

function wholeNumber(name: string, text: string, least: number): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= least && value < MAX_SEED) return value;
  throw new Error(`--${name} must be a whole number from ${least} on, and is "${text}"`);
}
