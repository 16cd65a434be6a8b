import { isExclaimError } from "../errors.ts";

/** What a command says by its exit code. */
export const EXIT = { done: 0, no: 1, usage: 2, environment: 3, incomplete: 4 } as const;

/** By convention 128 and the signal's number. */
export const INTERRUPTS = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;

export const EXIT_CODES_HELP = `
Exit codes:
  0               done
  1               the answer is no: not found, refused, or rows of an import were rejected
  2               the command line is wrong, or names too little: no database, two brokers
  3               it cannot run here: a server or package is missing, or broke
  4               the import did not come to its end; it can be resumed
  130, 143, 129   it was interrupted: SIGINT, SIGTERM, SIGHUP`;

/** The command line is wrong: told in one line, with where help is. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** The process was told to end. */
export class Interrupted extends Error {
  override readonly name = "Interrupted";
  readonly exitCode: number;

  constructor(signal: keyof typeof INTERRUPTS) {
    super(`interrupted by ${signal}`);
    this.exitCode = INTERRUPTS[signal];
  }
}

/** The exit code of a command that threw. A refusal ends an import before its end, and is the answer of any other command. */
export function exitCodeOf(error: unknown, isImport: boolean): number {
  if (error instanceof Interrupted) return error.exitCode;
  if (error instanceof UsageError) return EXIT.usage;
  if (!isExclaimError(error)) return EXIT.environment;
  switch (error.code) {
    case "IMPORT_UNKNOWN":
      return EXIT.no;
    case "CLAIM_REFUSED":
      return isImport ? EXIT.incomplete : EXIT.no;
    case "IMPORT_MISMATCH":
    case "TOO_MANY_REJECTED":
      return EXIT.incomplete;
    case "POOL_INVALID":
    case "SCOPE_INVALID":
    case "CLAIMANT_INVALID":
      return EXIT.usage;
    default:
      return EXIT.environment;
  }
}

/** The exit code of a command that ended early because of `signal`. */
export function interruptCode(signal: AbortSignal): number {
  return signal.reason instanceof Interrupted ? signal.reason.exitCode : EXIT.incomplete;
}
