import { parseArgs } from "node:util";

export interface TeethOptions {
  /** One JSON object on stdout in place of the table. */
  readonly json: boolean;
  /** Beginnings of the bugs to plant; none: all bugs. */
  readonly only: readonly string[];
}

/** Reads `--json` and `--only <beginning>`, which may be repeated; what stands alone is a beginning too. Throws on any other option. */
export function readOptions(args: readonly string[]): TeethOptions {
  const { values, positionals } = parseArgs({
    args: [...args],
    options: { json: { type: "boolean", default: false }, only: { type: "string", multiple: true, default: [] } },
    allowPositionals: true,
  });
  return { json: values.json, only: [...values.only, ...positionals] };
}

/** Those whose phrase begins as was asked for. Throws when one of the beginnings is nobody's. */
export function chosenOf<Bug extends { readonly bug: string }>(all: readonly Bug[], only: readonly string[]): readonly Bug[] {
  const stray = only.find((start) => !all.some(({ bug }) => bug.startsWith(start)));
  if (stray !== undefined) throw new Error(`no bug begins with ${JSON.stringify(stray)}`);
  return only.length === 0 ? all : all.filter(({ bug }) => only.some((start) => bug.startsWith(start)));
}
