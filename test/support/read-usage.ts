/** EX_USAGE of sysexits.h: the program was asked wrongly, and has done nothing. */
export const USAGE_EXIT = 64;

/**
 * What a program was asked for, as `read` finds it. With `--help` prints `usage` and ends the process; where `read` throws, prints its
 * message and `usage`, and ends with 64.
 */
export function readUsage<T>(usage: string, read: () => T): T {
  if (process.argv.includes("--help")) {
    process.stdout.write(`${usage}\n`);
    process.exit(0);
  }
  try {
    return read();
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n${usage}\n`);
    process.exit(USAGE_EXIT);
  }
}
