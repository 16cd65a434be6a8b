import { isUtf8 } from "node:buffer";
import { TextDecoder } from "node:util";
import { ExclaimError } from "../errors.ts";
import type { FileInput } from "./numbered-rows.ts";

/** So much is worked through at once: a larger piece would hold up the event loop. About 1,500 rows of CSV take 5 ms. */
const PIECE_BYTES = 65_536;

/** The text is not UTF-8. All before the line that is not was yielded. */
export class NotUtf8 extends Error {}

/**
 * The bytes of a file as UTF-8, in pieces that end between two characters, without a byte order mark.
 * `encoding`: a label that `TextDecoder` knows; undefined is UTF-8, or UTF-16 where the byte order mark says so.
 * Throws NotUtf8; CONFIG_INVALID: there is no such encoding.
 */
export async function* utf8Pieces(input: FileInput, encoding: string | undefined): AsyncGenerator<Buffer, void> {
  let decoder = encoding === undefined ? undefined : decoderOf(encoding);
  let rest: Buffer = Buffer.alloc(0);
  let isStart = true;
  let half = "";
  for await (const chunk of input) {
    let bytes: Buffer;
    if (typeof chunk === "string") {
      const text = half + chunk;
      half = /[\ud800-\udbff]$/.test(text) ? text.slice(-1) : "";
      bytes = Buffer.from(half === "" ? text : text.slice(0, -1));
    } else if (decoder === undefined) {
      bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    } else {
      bytes = Buffer.from(decoder.decode(chunk, { stream: true }));
    }
    rest = rest.length === 0 ? bytes : Buffer.concat([rest, bytes]);
    if (isStart) {
      if (rest.length < 3) continue;
      if (decoder === undefined && typeof chunk !== "string") decoder = decoderOfMark(rest);
      if (decoder !== undefined && encoding === undefined) rest = Buffer.from(decoder.decode(rest, { stream: true }));
      rest = withoutMark(rest);
      isStart = false;
    }
    const whole = wholeCharacters(rest);
    yield* cut(rest.subarray(0, whole));
    rest = rest.subarray(whole);
  }
  const last = Buffer.concat([rest, Buffer.from(half + (decoder?.decode() ?? ""))]);
  yield* cut(isStart ? withoutMark(last) : last);
}

function* cut(bytes: Buffer): Generator<Buffer, void> {
  for (let at = 0; at < bytes.length; ) {
    const piece = bytes.subarray(at, at + PIECE_BYTES);
    const part = at + PIECE_BYTES < bytes.length ? piece.subarray(0, wholeCharacters(piece) || piece.length) : piece;
    if (!isUtf8(part)) {
      yield beforeBadLine(part);
      throw new NotUtf8();
    }
    yield part;
    at += part.length;
  }
}

/** How many bytes there are up to the last character that is all there. */
function wholeCharacters(bytes: Buffer): number {
  for (let back = 1; back <= Math.min(3, bytes.length); back += 1) {
    const byte = bytes[bytes.length - back] ?? 0;
    if ((byte & 0xc0) === 0x80) continue;
    const length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1;
    return length > back ? bytes.length - back : bytes.length;
  }
  return bytes.length;
}

function beforeBadLine(bytes: Buffer): Buffer {
  let start = 0;
  for (let end = bytes.indexOf(10); end !== -1; end = bytes.indexOf(10, start)) {
    if (!isUtf8(bytes.subarray(start, end))) break;
    start = end + 1;
  }
  return bytes.subarray(0, start);
}

function decoderOf(encoding: string): TextDecoder | undefined {
  try {
    const decoder = new TextDecoder(encoding);
    return decoder.encoding === "utf-8" ? undefined : decoder;
  } catch (cause) {
    throw new ExclaimError("CONFIG_INVALID", `there is no encoding "${encoding}": "utf-8", "windows-1252" are some`, { cause });
  }
}

function decoderOfMark(bytes: Buffer): TextDecoder | undefined {
  if (bytes[0] === 0xff && bytes[1] === 0xfe) return new TextDecoder("utf-16le");
  if (bytes[0] === 0xfe && bytes[1] === 0xff) return new TextDecoder("utf-16be");
  return undefined;
}

function withoutMark(bytes: Buffer): Buffer {
  return bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? bytes.subarray(3) : bytes;
}
