import { createHash } from "node:crypto";

/** A statement that is run again and again, with a name by which a connection keeps it parsed and planned. */
export interface RepeatedText {
  readonly text: string;
  /** The same for the same text alone, at most 63 bytes: whoever meets the name on a shared connection means this text. */
  readonly name: string;
}

export function repeatedText(text: string): RepeatedText {
  return { text, name: `exclaim_${createHash("sha256").update(text).digest("hex").slice(0, 32)}` };
}
