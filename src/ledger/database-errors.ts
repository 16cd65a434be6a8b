import { ExclaimError } from "../errors.ts";

/**
 * What a failed statement means for the caller.
 * - `unreachable`: nothing is known of the statement; the same call again is safe.
 * - `transient`: the server undid it and the same again may pass: deadlock, serialization, lock or statement timeout.
 * - `schema`: the ledger's tables are missing or older than this release.
 * - `forbidden`: the role lacks a privilege.
 * - `member`: something in the statement's own data; with many claimants in it, one of them.
 */
export type DatabaseFault = "unreachable" | "transient" | "schema" | "forbidden" | "member";

/** Source: PostgreSQL manual, Appendix A, PostgreSQL Error Codes. */
const UNREACHABLE_CLASSES = ["08", "57P", "53", "58", "XX", "F0"];
/** What extensions raise for bad data of their own, and a server that breaks raises as FATAL. */
const INTERNAL_ERROR = "XX000";
const TRANSIENT_CODES = ["40001", "40P01", "55P03", "57014", "25P03", "25P04"];
const SCHEMA_CODES = ["42P01", "42703", "42883", "3F000"];
const LOGIN_CLASSES = ["28", "3D"];

/**
 * Reads the SQLSTATE of an error of the driver. An error without one never came from the server: a broken connection, or a
 * lost answer to a statement that may have been committed.
 */
export function databaseFault(error: unknown): DatabaseFault {
  const code = sqlState(error);
  if (code === undefined) return "unreachable";
  if (TRANSIENT_CODES.includes(code)) return "transient";
  if (SCHEMA_CODES.includes(code)) return "schema";
  if (code === "42501") return "forbidden";
  if (code === INTERNAL_ERROR && isRecoverable(error)) return "member";
  if (code === "25006") return "unreachable"; // read-only: a standby, until it is promoted or we are led elsewhere
  if ([...UNREACHABLE_CLASSES, ...LOGIN_CLASSES].some((start) => code.startsWith(start))) return "unreachable";
  return "member";
}

/** What ends the connection it comes on. Told by the code: the severity's text is in the server's own language. */
const FATAL_CODES = ["08", "28", "3D", "53300", "57P", "25P03", "25P04", "XX001", "XX002"];

/** Whether the server waits for the next statement after this error. */
export function isRecoverable(error: unknown): boolean {
  const code = sqlState(error);
  if (code === undefined || FATAL_CODES.some((start) => code.startsWith(start))) return false;
  const { severity } = error as { readonly severity?: unknown };
  return severity !== "FATAL" && severity !== "PANIC";
}

/** The five-character SQLSTATE of a driver's error, or undefined: node's own codes (`ECONNRESET`) are none. */
export function sqlState(error: unknown): string | undefined {
  if (typeof error !== "object" || error === null || !("code" in error) || !("severity" in error)) return undefined;
  return typeof error.code === "string" && /^[0-9A-Z]{5}$/.test(error.code) ? error.code : undefined;
}

/** The constraint a failed statement broke, where the server names one. */
export function brokenConstraint(error: unknown): string | undefined {
  if (typeof error !== "object" || error === null || !("constraint" in error)) return undefined;
  return typeof error.constraint === "string" ? error.constraint : undefined;
}

/** The error a caller sees for a fault that concerns the whole call. */
export function databaseError(error: unknown, what: string): ExclaimError {
  const fault = databaseFault(error);
  const reason = error instanceof Error ? error.message : String(error);
  switch (fault) {
    case "schema":
      return new ExclaimError(
        "SCHEMA_OUTDATED",
        `${what}: ${reason}; call exclaim.migrate() once, or run npx exclaim migrate`,
        {
          cause: error,
        },
      );
    case "forbidden":
      return new ExclaimError("CONFIG_INVALID", `${what}: ${reason}; grant the role what README "Database role" lists`, {
        cause: error,
      });
    case "unreachable":
    case "transient":
      return new ExclaimError("DATABASE_UNREACHABLE", `${what}: ${reason || "no answer"}`, { cause: error });
    case "member":
      return new ExclaimError("CLAIM_REFUSED", `${what}: the database refused: ${reason}`, { cause: error });
  }
}
