/** The text of whatever was thrown; never throws itself. */
export function messageOf(error: unknown): string {
  try {
    const message = (error as { readonly message?: unknown } | null | undefined)?.message;
    return typeof message === "string" ? message : String(error);
  } catch {
    return "a value that has no text";
  }
}
