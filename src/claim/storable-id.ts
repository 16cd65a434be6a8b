import { createHash } from "node:crypto";
import { storable } from "./why-given-up.ts";

/** AMQP's bound for names and ids. Queue and id share one index entry. */
const MAX_ID_BYTES = 255;
const READABLE_ID_LENGTH = 40;

/**
 * The broker's id of a message where it can be stored and indexed as it is, or else its readable start and its digest: two ids never
 * become one. Null: the message has none.
 */
export function storableId(id: string | undefined): string | null {
  if (typeof id !== "string" || id === "") return null;
  const isStorable = id.length <= MAX_ID_BYTES && Buffer.byteLength(id) <= MAX_ID_BYTES && storable(id) === id;
  if (isStorable) return id;
  const digest = createHash("sha256").update(id, "utf16le").digest("hex");
  return `${storable(id.slice(0, READABLE_ID_LENGTH))}#${digest}`;
}
