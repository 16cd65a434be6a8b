import { isExclaimError } from "../errors.ts";

/** Why a message is given up, as a record of it keeps that. */
export interface WhyGivenUp {
  /** Stable: an `ExclaimError`'s code, or `HANDLER_ERROR` for what a handler threw. At most 100 characters. */
  readonly code: string;
  /** For people: at most 1,000 characters, without NUL and half characters. */
  readonly reason: string;
}

/** What was thrown by a handler, and not by exclaim. */
const HANDLER_ERROR = "HANDLER_ERROR";

const NO_TEXT = "a value that has no text";
const MAX_REASON_LENGTH = 1_000;
const MAX_CODE_LENGTH = 100;

/** Never throws: anything can be thrown, also what throws when it is looked at. */
export function whyGivenUp(error: unknown): WhyGivenUp {
  return { code: tried(() => codeOf(error)) ?? HANDLER_ERROR, reason: reasonOf(error) };
}

/** The text without what PostgreSQL does not store. */
export function storable(text: string): string {
  return text.replaceAll("\0", "").toWellFormed();
}

function codeOf(error: unknown): string | undefined {
  if (!isExclaimError(error)) return undefined;
  return storable(String(error.code)).slice(0, MAX_CODE_LENGTH) || undefined;
}

function reasonOf(error: unknown): string {
  const message = tried(() => (error as { readonly message?: unknown } | null | undefined)?.message);
  const text = typeof message === "string" && message !== "" ? message : tried(() => String(error));
  // Cut before it is made well-formed: the cut may go through a character.
  return storable(text?.replaceAll("\0", "").slice(0, MAX_REASON_LENGTH) ?? "") || NO_TEXT;
}

function tried<T>(look: () => T): T | undefined {
  try {
    return look();
  } catch {
    return undefined;
  }
}
