const MAX_LENGTH = 1_000;

/** A reason as the tables can hold it: no NUL, no half character, at most 1,000 characters. */
export function storable(reason: string): string {
  return reason.replaceAll("\0", "").slice(0, MAX_LENGTH).toWellFormed();
}
