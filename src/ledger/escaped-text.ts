/** A text in the characters that every encoding of a database has. It is for people to read: it is not taken back. */
export function escapedText(text: string): string {
  return text.replace(/[^\t\n\r -~]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);
}
