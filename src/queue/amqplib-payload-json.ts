import { isUtf8 } from "node:buffer";
import { ExclaimError } from "../errors.ts";
import type { AmqpMessage } from "./amqplib-channel.ts";

const BYTE_ORDER_MARK = Buffer.from([0xef, 0xbb, 0xbf]);

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const ARRAY_BEGINS = 0x5b;
const ARRAY_ENDS = 0x5d;
const OBJECT_BEGINS = 0x7b;
const OBJECT_ENDS = 0x7d;

/** Encodings that leave the content as it is. */
const PLAIN: readonly unknown[] = ["utf-8", "identity"];
const MAX_ENCODING_LENGTH = 40;

/** How V8 says where the text stops being JSON. The messages in which it quotes the text end otherwise. */
const POSITION = / JSON at position (\d+)(?: \(line \d+ column \d+\))?$/;

const OWN_PARSER = "give parse a function that reads the content";

/**
 * The JSON value that a message carries, as `JSON.parse` gives it: UTF-8 text, with a byte order mark or without.
 * `maxDepth`: how many arrays and objects may stand in one another. Cost: linear in the length, whatever the content.
 * Throws MESSAGE_INVALID, without any of the text.
 */
export function jsonOf({ content, properties }: AmqpMessage, maxDepth: number): unknown {
  assertPlain(properties.contentEncoding);
  const json = content.subarray(0, BYTE_ORDER_MARK.length).equals(BYTE_ORDER_MARK)
    ? content.subarray(BYTE_ORDER_MARK.length)
    : content;
  if (json.length === 0) throw invalid(`the payload is empty, and no JSON: send a JSON value, or ${OWN_PARSER}`);
  if (!isUtf8(json)) throw invalid(`the payload is no UTF-8 text: send JSON as UTF-8, or ${OWN_PARSER}`);
  if (isNestedDeeper(json, maxDepth)) {
    throw invalid(`the payload is nested deeper than ${maxDepth}: send a flatter one, or raise maxPayloadDepth`);
  }
  try {
    return JSON.parse(json.toString("utf8"));
  } catch (error) {
    // Not kept as the cause: it quotes the text, and causes are logged.
    throw invalid(`the payload is no JSON${positionOf(error)}: send a JSON value, or ${OWN_PARSER}`);
  }
}

function assertPlain(encoding: unknown): void {
  if (encoding === undefined || encoding === "") return;
  const name = String(encoding).slice(0, MAX_ENCODING_LENGTH);
  if (PLAIN.includes(name.toLowerCase())) return;
  throw invalid(`the payload has the content encoding ${JSON.stringify(name)}, which is not undone here: ${OWN_PARSER}`);
}

/** Counts without recursion and in one pass. What is no JSON is counted somehow: it is refused afterwards. */
function isNestedDeeper(json: Buffer, maxDepth: number): boolean {
  let depth = 0;
  let isInString = false;
  for (let at = 0; at < json.length; at++) {
    const byte = json[at];
    if (isInString) {
      if (byte === BACKSLASH) at++;
      else if (byte === QUOTE) isInString = false;
    } else if (byte === QUOTE) {
      isInString = true;
    } else if (byte === ARRAY_BEGINS || byte === OBJECT_BEGINS) {
      if (++depth > maxDepth) return true;
    } else if (byte === ARRAY_ENDS || byte === OBJECT_ENDS) {
      depth--;
    }
  }
  return false;
}

function positionOf(error: unknown): string {
  const position = error instanceof SyntaxError ? POSITION.exec(error.message)?.[1] : undefined;
  return position === undefined ? "" : ` from its character ${position} on`;
}

function invalid(message: string): ExclaimError {
  return new ExclaimError("MESSAGE_INVALID", message);
}
