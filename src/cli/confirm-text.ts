import { createInterface } from "node:readline/promises";
import type { CliDeps } from "./cli-deps.ts";
import { UsageError } from "./exit-codes.ts";
import { printable } from "./output.ts";

/**
 * Asks a person to type `expected`, so that nothing is confirmed by a hasty Enter. Returns whether they did.
 * Throws UsageError: nobody is there to be asked; the signal's reason.
 */
export async function confirmText(question: string, expected: string, deps: CliDeps): Promise<boolean> {
  const { stdin, stderr, signal } = deps;
  if (!stdin.isTTY || !stderr.isTTY) throw new UsageError("nobody can be asked here: --yes");
  stderr.write(`${printable(question)}\nType ${printable(expected)} to confirm: `);
  const lines = createInterface({ input: stdin, crlfDelay: Number.POSITIVE_INFINITY });
  try {
    const onAbort = new Promise<never>((_resolve, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason), { once: true });
    });
    const closed = new Promise<undefined>((resolve) => lines.once("close", () => resolve(undefined)));
    const typed = new Promise<string>((resolve) => lines.once("line", resolve));
    const answer = await Promise.race([typed, closed, onAbort]);
    return answer === printable(expected) || answer === expected;
  } finally {
    lines.close();
  }
}
