import { parseArgs } from "node:util";

export interface Options {
  readonly rows: number;
  readonly kills: boolean;
  readonly json: boolean;
}

const ROWS = 1_000_000;
/** Shows that everything runs. Its numbers mean nothing. */
const SMOKE_ROWS = 4_000;
/** Enough to be in the middle of it five times. */
const KILLS_ROWS = 100_000;

/** Throws on an option that there is not. */
export function resolveOptions(args: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      rows: { type: "string" },
      kills: { type: "boolean", default: false },
      json: { type: "boolean", default: false },
      smoke: { type: "boolean", default: false },
    },
  });
  const rows = Number(values.rows ?? (values.smoke ? SMOKE_ROWS : values.kills ? KILLS_ROWS : ROWS));
  if (!Number.isSafeInteger(rows) || rows < 1_000)
    throw new Error(`--rows ${values.rows}: give a whole number of 1000 or more`);
  return { rows, kills: values.kills, json: values.json };
}
