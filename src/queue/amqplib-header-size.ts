import type { AmqpPublishOptions } from "./amqplib-channel.ts";

/** What all other properties of a message take at most, each a text of up to 255 bytes, beside its frame's own bytes. */
const PROPERTIES_BYTES = 3_072;

/** amqplib writes headers into a buffer of this size, whatever the frames are. Source: amqplib, `lib/connection.js`. */
const BUFFER_BYTES = 65_536;

/** A value's type and its length. */
const TAG_BYTES = 5;
const NUMBER_BYTES = 8;

/**
 * Whether a message with these headers fits into one frame of at most `frameMax` bytes; an estimate that is never too low.
 * The broker closes the whole connection over a frame that is too large.
 */
export function headersFit({ headers }: AmqpPublishOptions, frameMax: number | undefined): boolean {
  const limit = Math.min(BUFFER_BYTES, frameMax === undefined || frameMax === 0 ? BUFFER_BYTES : frameMax);
  return bytesOf(headers) + PROPERTIES_BYTES <= limit;
}

function bytesOf(value: unknown): number {
  if (typeof value === "string") return TAG_BYTES + Buffer.byteLength(value);
  if (Buffer.isBuffer(value)) return TAG_BYTES + value.length;
  if (Array.isArray(value)) return value.reduce<number>((sum, item) => sum + bytesOf(item), TAG_BYTES);
  if (typeof value !== "object" || value === null) return TAG_BYTES + NUMBER_BYTES;
  return Object.entries(value).reduce((sum, [name, item]) => sum + 1 + Buffer.byteLength(name) + bytesOf(item), TAG_BYTES);
}
