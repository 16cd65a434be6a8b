import { createHash } from "node:crypto";

/** What dispatchers of one schema agree on: 32 bits of its name, so that two schemas of one database seldom meet. */
export function outboxNumber(schema: string): number {
  return createHash("sha256").update(`exclaim outbox ${schema}`).digest().readInt32BE();
}

/** The channel on which a dispatcher of the schema hears that something was published. Unquoted, fit to stand as it is. */
export function outboxChannel(schema: string): string {
  return `exclaim_outbox_${(outboxNumber(schema) >>> 0).toString(16)}`;
}
