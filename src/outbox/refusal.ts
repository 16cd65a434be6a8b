import { ExclaimError } from "../errors.ts";
import type { OutgoingMessage } from "./target.ts";

const MAX_ID_BYTES = 255;

/** Why no broker takes a message of this id, or undefined. */
export function whyIdRefused(id: unknown): string | undefined {
  if (typeof id !== "string" || id === "") return "has no id";
  // A character is at most three bytes.
  const isLong = id.length * 3 > MAX_ID_BYTES && Buffer.byteLength(id) > MAX_ID_BYTES;
  return isLong ? `has an id longer than ${MAX_ID_BYTES} bytes` : undefined;
}

/** Whether JSON has no word for the value itself. Cheap: a value that throws when it is written, a cycle for one, is not found here. */
export function isNoJson(payload: unknown): boolean {
  if (typeof payload !== "object") return payload === undefined || ["function", "symbol", "bigint"].includes(typeof payload);
  return payload !== null && "toJSON" in payload && becomesNothing(payload);
}

function becomesNothing(payload: object): boolean {
  try {
    return JSON.stringify(payload) === undefined;
  } catch {
    return true;
  }
}

export const NOT_JSON = "has a payload that JSON cannot hold (undefined, a function, a bigint, a cycle)";

/** MESSAGE_REFUSED of one message. Shape: `why` goes on after the message's name: "has no id". */
export function refused(message: OutgoingMessage, why: string, cause?: unknown): { readonly refused: ExclaimError } {
  const { id } = message;
  const called = typeof id === "string" && id.length <= MAX_ID_BYTES ? `message ${JSON.stringify(id)}` : "a message";
  return { refused: new ExclaimError("MESSAGE_REFUSED", `${called} ${why}`, cause === undefined ? {} : { cause }) };
}
