import { isDeepStrictEqual } from "node:util";
import { array, assert, asyncProperty, constantFrom, integer, jsonValue, oneof, option, string, uint8Array } from "fast-check";
import { describe, expect, it } from "vitest";
import { isExclaimError } from "../../src/errors.ts";
import { DEFAULT_MAX_PAYLOAD_BYTES, DEFAULT_MAX_PAYLOAD_DEPTH, payloadReader } from "../../src/queue/amqplib-payload.ts";
import { messageWith, readWith } from "./payload-message.ts";

// Planted once each and seen to fail here: a backslash that escapes nothing, or whatever follows it up to the string's end; brackets in
// strings counted; closing brackets not counted; a limit that is off by one; malformed UTF-8 replaced; the mark left in the text; the
// size in characters instead of bytes; V8's own words in the message; its error as the cause.

const MEGABYTE = 1_048_576;

describe("the payload of a message", () => {
  it("is what its JSON says, at once", () => {
    const read = payloadReader<{ id: number }>({});

    expect(read(messageWith('{"id":7,"tags":["ä","\\u00e4","🎟"],"none":null}'))).toEqual({
      id: 7,
      tags: ["ä", "ä", "🎟"],
      none: null,
    });
  });

  it.each([
    ["a number", "12.5", 12.5],
    ["a text", '"voucher"', "voucher"],
    ["false", "false", false],
    ["null", "null", null],
    ["an object in blanks", ' \r\n\t{"a": 1} ', { a: 1 }],
    ["a list after a byte order mark", "\uFEFF[1]", [1]],
  ])("may be %s", async (_case, content, value) => {
    expect(await readWith({}, content)).toEqual(value);
  });

  it("comes back as it was, whatever the value", async () => {
    // JSON has no -0.
    const values = jsonValue({ maxDepth: 10, depthSize: "max" }).map((value) => JSON.parse(JSON.stringify(value)));

    await assert(
      asyncProperty(values, async (value) => {
        expect(await readWith({}, JSON.stringify(value))).toStrictEqual(value);
      }),
    );
  });

  it("keeps a __proto__ key as a property of its own, which changes no other object", async () => {
    const payload = (await readWith(
      {},
      '{"__proto__":{"isAdmin":true},"constructor":{"prototype":{"isAdmin":true}}}',
    )) as object;

    expect(Object.hasOwn(payload, "__proto__")).toBe(true);
    expect(Object.getPrototypeOf(payload)).toBe(Object.prototype);
    expect("isAdmin" in payload).toBe(false);
    expect("isAdmin" in {}).toBe(false);
  });

  it("is a value or MESSAGE_INVALID, whatever the bytes", async () => {
    const tokens = constantFrom("[", "]", "{", "}", '"', "\\", ",", ":", "1", "-", "null", " ", "\uFEFF", "\\u", "ä", "\0");
    const contents = oneof(
      uint8Array({ maxLength: 200 }),
      array(tokens, { maxLength: 40 }).map((parts) => Buffer.from(parts.join(""))),
    );

    await assert(
      asyncProperty(contents, option(string(), { nil: undefined }), async (content, encoding) => {
        const read = await readWith({}, content, encoding);
        expect(!(read instanceof Error) || isExclaimError(read, "MESSAGE_INVALID")).toBe(true);
      }),
      { numRuns: 2_000 },
    );
  });

  it.each([
    ["is empty", "", "the payload is empty"],
    ["is only a byte order mark", "\uFEFF", "the payload is empty"],
    ["has two byte order marks", "\uFEFF\uFEFF1", "the payload is no JSON"],
    ["is blank", "  ", "the payload is no JSON: "],
    ["is malformed UTF-8", Buffer.from([0x22, 0xc3, 0x28, 0x22]), "the payload is no UTF-8 text"],
    ["is a surrogate in UTF-8", Buffer.from([0x22, 0xed, 0xa0, 0x80, 0x22]), "the payload is no UTF-8 text"],
    ["is UTF-16", Buffer.from("\uFEFF{}", "utf16le"), "the payload is no UTF-8 text"],
    ["is no JSON", "user=7", "the payload is no JSON: "],
    ["ends too early", '{"id":7', "the payload is no JSON from its character 7 on: "],
    ["goes on after its end", "{}x", "the payload is no JSON from its character 2 on: "],
  ])("is refused when it %s, saying so", async (_case, content, said) => {
    const error = await readWith({}, content);

    expect(error).toMatchObject({ code: "MESSAGE_INVALID", message: expect.stringContaining(said) });
  });

  it.each([
    "secret",
    '{"password":"secret"',
    '{"password" "secret"}',
    '["secret\n"]',
    '"secret" at position 5',
    '{"secret":x}',
  ])("is not repeated when it is no JSON: %s", async (content) => {
    const error = (await readWith({}, content)) as Error;

    expect(error).toMatchObject({ code: "MESSAGE_INVALID" });
    expect(error.message).not.toContain("secret");
    expect(error.cause).toBeUndefined();
  });

  it.each([undefined, "", "utf-8", "UTF-8", "identity"])("is read in the content encoding %j", async (encoding) => {
    expect(await readWith({}, "[1]", encoding)).toEqual([1]);
  });

  it.each(["gzip", "deflate", "utf-16", "base64", "gzip\r\nforged: line"])(
    "is refused in the content encoding %j, telling of parse",
    async (encoding) => {
      const error = (await readWith({}, "[1]", encoding)) as Error;

      expect(error).toMatchObject({ code: "MESSAGE_INVALID", message: expect.stringContaining("give parse a function") });
      expect(error.message).not.toContain("\n");
    },
  );
});

describe("the size of a payload", () => {
  it("may be the limit, and not more", async () => {
    expect(await readWith({ maxPayloadBytes: 3 }, "[1]")).toEqual([1]);
    expect(await readWith({ maxPayloadBytes: 3 }, "[12]")).toMatchObject({
      code: "MESSAGE_INVALID",
      message: "the payload has 4 bytes: send at most 3, or raise maxPayloadBytes",
    });
  });

  it("counts bytes, not characters", async () => {
    expect(await readWith({ maxPayloadBytes: 3 }, '"ä"')).toMatchObject({ code: "MESSAGE_INVALID" });
  });

  it("is a megabyte unless told otherwise", async () => {
    const longest = `"${"x".repeat(MEGABYTE - 2)}"`;

    expect(DEFAULT_MAX_PAYLOAD_BYTES).toBe(MEGABYTE);
    expect(await readWith({}, longest)).toHaveLength(MEGABYTE - 2);
    expect(await readWith({}, `${longest} `)).toMatchObject({ message: expect.stringContaining("1048577 bytes") });
  });

  it("is looked at before the content: what is too long is not read", async () => {
    expect(await readWith({ maxPayloadBytes: 2 }, "nonsense", "gzip")).toMatchObject({
      message: expect.stringContaining("8 bytes"),
    });
  });
});

describe("the depth of a payload", () => {
  it("may be the limit, and not more", async () => {
    expect(await readWith({ maxPayloadDepth: 3 }, '[{"a":[1]}]')).toEqual([{ a: [1] }]);
    expect(await readWith({ maxPayloadDepth: 3 }, '[{"a":[[]]}]')).toMatchObject({
      code: "MESSAGE_INVALID",
      message: "the payload is nested deeper than 3: send a flatter one, or raise maxPayloadDepth",
    });
  });

  it("is 64 unless told otherwise", async () => {
    expect(DEFAULT_MAX_PAYLOAD_DEPTH).toBe(64);
    expect(await readWith({}, "[".repeat(64) + "]".repeat(64))).toBeInstanceOf(Array);
    expect(await readWith({}, "[".repeat(65) + "]".repeat(65))).toMatchObject({ code: "MESSAGE_INVALID" });
  });

  it("is that of the value, whatever brackets, quotes and backslashes its texts hold", async () => {
    const tricky = string({ unit: constantFrom("[", "]", "{", "}", '"', "\\", "a", "ä", "\n"), maxLength: 8 });
    const values = jsonValue({ maxDepth: 8, depthSize: "max" });
    const texts = oneof(
      values,
      array(tricky).map((list) => [list]),
      tricky.map((key) => ({ [key]: [key] })),
    );

    await assert(
      asyncProperty(texts, integer({ min: 1, max: 8 }), async (value, maxPayloadDepth) => {
        const read = await readWith({ maxPayloadDepth }, JSON.stringify(value));
        expect(isExclaimError(read, "MESSAGE_INVALID")).toBe(depthOf(value) > maxPayloadDepth);
      }),
      { numRuns: 1_000 },
    );
  });

  it.each([
    ["opening brackets", "[".repeat(MEGABYTE), "deeper than 64"],
    ["opening braces", '{"a":'.repeat(MEGABYTE / 8), "deeper than 64"],
    ["brackets that are all closed", "[".repeat(MEGABYTE / 2) + "]".repeat(MEGABYTE / 2), "deeper than 64"],
    ["closing brackets", "]".repeat(MEGABYTE), "no JSON"],
    ["a text that does not end", `"${"[".repeat(MEGABYTE - 1)}`, "no JSON"],
    ["backslashes in a text that does not end", `"${"\\".repeat(MEGABYTE - 1)}`, "no JSON"],
    ["quotes", '"'.repeat(MEGABYTE), "no JSON"],
  ])("refuses a megabyte of %s", async (_case, content, said) => {
    expect(await readWith({}, content)).toMatchObject({ code: "MESSAGE_INVALID", message: expect.stringContaining(said) });
  });

  it.each([
    ["nested objects within a text", `"${"[{'a'}, ".repeat(MEGABYTE / 8 - 1)}"`],
    ["brackets after an escaped quote", `"\\"${"[".repeat(MEGABYTE - 4)}"`],
    ["backslashes, each of them escaped", `"${"\\\\".repeat(MEGABYTE / 2 - 1)}"`],
    ["lists beside one another", `[${"[],".repeat(MEGABYTE / 4)}[]]`],
  ])("lets pass a megabyte of %s", async (_case, content) => {
    // Compared here and not by expect, which would print them.
    expect(isDeepStrictEqual(await readWith({}, content), JSON.parse(content))).toBe(true);
  });

  it("is counted past a text that ends in backslashes", async () => {
    expect(await readWith({ maxPayloadDepth: 1 }, '["\\\\",[]]')).toMatchObject({ code: "MESSAGE_INVALID" });
    expect(await readWith({ maxPayloadDepth: 1 }, '["\\\\\\",[]"]')).toEqual(['\\",[]']);
  });

  it("refuses at any limit, however deep, without overflowing a stack", async () => {
    const depth = 400_000;
    const content = "[".repeat(depth) + "]".repeat(depth);

    const deepest = await readWith({ maxPayloadDepth: depth }, content);
    const refused = await readWith({ maxPayloadDepth: depth - 1 }, content);

    expect(Array.isArray(deepest)).toBe(true);
    expect(isExclaimError(refused, "MESSAGE_INVALID")).toBe(true);
  });
});

/** The depth as it is defined, by recursion. */
function depthOf(value: unknown): number {
  if (typeof value !== "object" || value === null) return 0;
  return 1 + Math.max(0, ...Object.values(value).map(depthOf));
}
