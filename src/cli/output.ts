import type { ResultStream } from "./cli-deps.ts";

/**
 * Writes to a stream and waits until it has taken it, so that a slow reader holds the writer up.
 * Returns false when nobody reads any more (`head` has seen enough): the writer ends quietly then.
 * Throws what else went wrong: a disk that is full.
 */
export function writeOut(stream: ResultStream, text: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    stream.write(text, (error) => {
      if (!error) resolve(true);
      else if ("code" in error && (error.code === "EPIPE" || error.code === "ERR_STREAM_DESTROYED")) resolve(false);
      else reject(error);
    });
  });
}

/** One JSON value on a line of its own. */
export function writeJson(stream: ResultStream, value: unknown): Promise<boolean> {
  return writeOut(stream, `${JSON.stringify(value)}\n`);
}

/** Columns of text under their names, as wide as they must be. */
export function tableText(names: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [names, ...rows].map((row) => row.map(printable));
  const widths = names.map((_, column) => Math.max(...lines.map((row) => row[column]?.length ?? 0)));
  const text = lines.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd(),
  );
  return `${text.join("\n")}\n`;
}

/** What rows hold is strangers' text: it must neither break the table nor steer the terminal. */
export function printable(text: string): string {
  return text.replace(
    /[\p{Cc}\p{Cf}\u2028\u2029]/gu,
    (unit) => `\\u${(unit.codePointAt(0) ?? 0).toString(16).padStart(4, "0")}`,
  );
}
