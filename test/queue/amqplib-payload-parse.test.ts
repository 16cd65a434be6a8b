import { gunzipSync, gzipSync } from "node:zlib";
import { array, assert, asyncProperty, jsonValue, string } from "fast-check";
import { describe, expect, it } from "vitest";
import { type ExclaimError, isExclaimError } from "../../src/errors.ts";
import { type PayloadParser, payloadReader } from "../../src/queue/amqplib-payload.ts";
import type { StandardAnswer } from "../../src/standard-schema.ts";
import { messageWith, readWith, refusing, schemaOf } from "./payload-message.ts";

// Planted once each and seen to fail here: a callable schema taken for a parse function; a promise not awaited; the error of parse in the
// message; no limit for a parse function; all issues told; values left in messages; shorter values struck out first, or again and again;
// an answer without a value let pass.

const SECRET = "4111-1111-1111-1111";

describe("a parse function", () => {
  it("gets the raw content and the message, and what it gives is the payload", async () => {
    const message = messageWith(gzipSync('{"id":7}'), "gzip");
    const seen: unknown[] = [];
    const read = payloadReader({
      parse(content, delivered) {
        seen.push(delivered);
        return JSON.parse(gunzipSync(content).toString()) as { id: number };
      },
    });

    expect(read(message)).toEqual({ id: 7 });
    expect(seen).toEqual([message]);
  });

  it("may give a promise, and may read what JSON is not", async () => {
    const parse = async (content: Buffer) => content.length;

    expect(await readWith({ parse }, "")).toBe(0);
    expect(await readWith({ parse }, Buffer.from([0xff, 0xfe]))).toBe(2);
  });

  it("is not called for a payload that is too long", async () => {
    let calls = 0;
    const parse = () => ++calls;

    expect(await readWith({ parse, maxPayloadBytes: 3 }, "1234")).toMatchObject({ code: "MESSAGE_INVALID" });
    expect(calls).toBe(0);
  });

  it.each([
    ["throws", (cause: unknown) => throwing(cause)],
    ["rejects", (cause: unknown) => () => Promise.reject(cause)],
  ])("that %s makes MESSAGE_INVALID, which keeps the cause and does not repeat it", async (_case, parseThat) => {
    const cause = Object.assign(new TypeError(`cannot read ${SECRET}`), { code: "Z_DATA_ERROR" });

    const error = (await readWith({ parse: parseThat(cause) }, "x")) as ExclaimError;

    expect(error).toMatchObject({ code: "MESSAGE_INVALID" });
    expect(error.message).toBe("the payload is refused: parse threw TypeError Z_DATA_ERROR; see the cause");
    expect(error.cause).toBe(cause);
  });

  it.each([
    ["a text", "no"],
    ["nothing", undefined],
    ["null", null],
    ["an error whose name cannot be read", new Proxy(new Error("no"), { get: throwing("unreadable") })],
    ["an error with a name that is text", Object.assign(new Error("no"), { name: SECRET })],
  ])("may throw %s", async (_case, cause) => {
    const error = (await readWith({ parse: throwing(cause) }, "x")) as ExclaimError;

    expect(isExclaimError(error, "MESSAGE_INVALID")).toBe(true);
    expect(error.message).not.toContain(SECRET);
    expect(Object.is(error.cause, cause)).toBe(true);
  });

  it("that gives something whose then throws makes MESSAGE_INVALID", async () => {
    const parse = () => new Proxy({}, { has: () => true, get: throwing("no then") });

    expect(await readWith({ parse }, "x")).toMatchObject({ code: "MESSAGE_INVALID", cause: "no then" });
  });
});

describe("a schema", () => {
  it("makes the payload of what JSON gives, at once or by a promise", async () => {
    const answer = (value: unknown) => ({ value: { seen: value } });

    expect(payloadReader({ parse: schemaOf(answer) })(messageWith("[1]"))).toEqual({ seen: [1] });
    expect(await readWith({ parse: schemaOf(async (value) => answer(value)) }, "[1]")).toEqual({ seen: [1] });
    expect(await readWith({ parse: schemaOf(() => ({ value: undefined })) }, "[1]")).toBeUndefined();
  });

  it("that can be called as well is a schema all the same, and is asked as a method", async () => {
    const standard = {
      version: 1 as const,
      vendor: "test",
      suffix: "!",
      validate(value: unknown) {
        return { value: `${value}${this.suffix}` };
      },
    };
    const parse = Object.assign(() => "called", { "~standard": standard });

    expect(await readWith({ parse }, '"asked"')).toBe("asked!");
  });

  it("is not asked about what is no JSON, or is encoded", async () => {
    let calls = 0;
    const parse = schemaOf(() => ({ value: ++calls }));

    expect(await readWith({ parse }, "{")).toMatchObject({ code: "MESSAGE_INVALID" });
    expect(await readWith({ parse }, "[[]]".repeat(9), "gzip")).toMatchObject({ code: "MESSAGE_INVALID" });
    expect(await readWith({ parse, maxPayloadDepth: 1 }, "[[]]")).toMatchObject({ code: "MESSAGE_INVALID" });
    expect(calls).toBe(0);
  });

  it.each([
    ["throws", schemaOf<never>(throwing(SECRET))],
    ["rejects", schemaOf<never>(() => Promise.reject(SECRET))],
  ])("that %s makes MESSAGE_INVALID with that cause", async (_case, parse) => {
    const error = (await readWith({ parse }, "1")) as ExclaimError;

    expect(error).toMatchObject({ code: "MESSAGE_INVALID", cause: SECRET });
    expect(error.message).not.toContain(SECRET);
  });

  it.each([
    ["nothing", undefined],
    ["null", null],
    ["a text", "fine"],
    ["neither a value nor issues", {}],
    ["issues that are no list", { issues: "wrong" }],
    ["issues that are null", { value: 1, issues: null }],
    ["an answer that cannot be read", Object.defineProperty({}, "issues", { get: throwing("unreadable") })],
    ["an issue whose path cannot be read", { issues: [{ message: "wrong", path: [Object.create(null)] }] }],
  ])("that answers %s makes MESSAGE_INVALID, at once or by a promise", async (_case, answer) => {
    const malformed = answer as StandardAnswer<never>;

    expect(await readWith({ parse: schemaOf(() => malformed) }, "1")).toMatchObject({ code: "MESSAGE_INVALID" });
    expect(await readWith({ parse: schemaOf(async () => malformed) }, "1")).toMatchObject({ code: "MESSAGE_INVALID" });
  });

  it("that names no issue, or issues of no shape, refuses all the same", async () => {
    const shapeless = schemaOf<never>(() => ({ issues: [null, 7, { message: 7, path: "id" }] }) as never);

    expect(await readWith({ parse: refusing() }, "1")).toMatchObject({ code: "MESSAGE_INVALID" });
    expect(await readWith({ parse: shapeless }, "1")).toMatchObject({ code: "MESSAGE_INVALID" });
  });
});

describe("the issues of a schema", () => {
  it("are told with their paths, and kept as the cause", async () => {
    const issues = [
      { message: "expected a number", path: ["user_id"] },
      { message: "too small", path: ["items", 0, { key: "quantity" }] },
      { message: "unknown", path: ["a b", Symbol("s")] },
      { message: "wrong" },
    ];

    const error = (await readWith({ parse: refusing(...issues) }, "{}")) as ExclaimError;

    expect(error.message).toBe(
      "the payload is refused by parse: user_id: expected a number; items[0].quantity: too small; " +
        '["a b"]["Symbol(s)"]: unknown; the payload: wrong',
    );
    expect(error.cause).toEqual(issues);
  });

  it("are five at most, each in a line that is not long, and fit into the record of a dead letter", async () => {
    const issue = { message: `wrong\n${"m".repeat(900)}`, path: Array.from({ length: 5_000 }, () => "key\r\n".repeat(5_000)) };

    const error = (await readWith({ parse: refusing(...Array.from({ length: 8 }, () => issue)) }, "{}")) as ExclaimError;

    expect(error.message).toMatch(/^[^\n\r]*; and 3 more$/);
    expect(error.message.match(/wrong mmm/g)).toHaveLength(5);
    expect(error.message.length).toBeLessThan(1_000);
  });

  it.each([
    ["as it is", `{"card":"${SECRET}"}`, `Invalid card: Received "${SECRET}"`, 'Invalid card: Received "***"'],
    ["in another case", '{"card":"SeCret"}', "secret is no card", "*** is no card"],
    ["within blanks", '{"card":"  secret "}', "secret is no card", "*** is no card"],
    ["escaped", '{"card":"a\\"b\\"c"}', 'must be a card (was "a\\"b\\"c")', 'must be a card (was "***")'],
    ["as a number", '{"card":4111}', "must be a text (was 4111)", "must be a text (was ***)"],
    ["with what a pattern would mean", '{"card":"(.*)+$"}', "was (.*)+$", "was ***"],
    ["though it is a letter", '{"card":"a"}', "was a, a card", "was ***, *** card"],
    ["part by part", '{"card":{"n":["secret","secret-2"]}}', "was secret-2,secret", "was ***,***"],
    ["of what stands beside a missing one", '{"name":"secret"}', "secret has no card", "*** has no card"],
  ])("do not repeat a value of the payload, %s", async (_case, content, message, said) => {
    const error = (await readWith({ parse: refusing({ message, path: ["card"] }) }, content)) as ExclaimError;

    expect(error.message).toBe(`the payload is refused by parse: card: ${said}`);
  });

  it("keep the words that happen to hold a short value", async () => {
    const parse = refusing({ message: "expected at least 18 tickets", path: ["n"] });

    const error = (await readWith({ parse }, '{"n":"e","m":18}')) as ExclaimError;

    expect(error.message).toContain("n: expected at least 18 tickets");
  });

  it.each([
    ["there is too much to strike out", `[${"1,".repeat(300_000)}"secret"]`, "wrong: secret"],
    ["there is too much to strike out, in many lists", `["secret",${`[${"1,".repeat(500)}1],`.repeat(30)}1]`, "wrong: secret"],
    ["the message is longer than any that repeats nothing", '["secret"]', `secret${" ".repeat(1_000)}`],
  ])("are told without their message when %s", async (_case, content, message) => {
    const error = (await readWith({ parse: refusing({ message }) }, content)) as ExclaimError;

    expect(error.message).toBe(
      "the payload is refused by parse: the payload: refused, with a message that is not repeated here",
    );
  });

  it("do not grow by what is struck out", async () => {
    const stars = JSON.stringify(Array.from({ length: 9_000 }, (_, at) => "*".repeat(1 + (at % 40))));
    const parse = refusing({ message: `${"*".repeat(900)}` });

    const error = (await readWith({ parse }, stars)) as ExclaimError;

    expect(error.message.length).toBeLessThan(300);
  });

  it("make MESSAGE_INVALID of one short line, whatever they hold", async () => {
    const texts = string({ unit: "binary", maxLength: 200 });

    await assert(
      asyncProperty(array(texts), texts, jsonValue(), async (path, message, value) => {
        const read = (await readWith({ parse: refusing({ message, path }) }, JSON.stringify(value))) as ExclaimError;
        expect(read.code).toBe("MESSAGE_INVALID");
        expect(read.message.length).toBeLessThan(250);
        expect(read.message).not.toMatch(/[\p{Cc}]/u);
      }),
    );
  });
});

describe("the options of a reader", () => {
  it.each([
    ["maxPayloadBytes is zero", { maxPayloadBytes: 0 }, "maxPayloadBytes"],
    ["maxPayloadBytes is a part of one", { maxPayloadBytes: 1.5 }, "maxPayloadBytes"],
    ["maxPayloadBytes is a text", { maxPayloadBytes: "5" }, "maxPayloadBytes"],
    ["maxPayloadDepth is negative", { maxPayloadDepth: -1 }, "maxPayloadDepth"],
    ["maxPayloadDepth has no end", { maxPayloadDepth: Number.POSITIVE_INFINITY }, "maxPayloadDepth"],
    ["parse is null", { parse: null }, "parse"],
    ["parse is a text", { parse: "json" }, "parse"],
    ["parse is an object that is no schema", { parse: { parse: () => 1 } }, "parse"],
    ["parse is a schema of another version", { parse: { "~standard": { version: 2, validate: () => 1 } } }, "version 1"],
    ["parse is a schema that validates nothing", { parse: { "~standard": { version: 1 } } }, "validate"],
    ["parse is a schema of nothing", { parse: { "~standard": null } }, "parse"],
  ])("are refused at once when %s", (_case, options, named) => {
    const build = () => payloadReader(options as { parse?: PayloadParser<unknown> });

    expect(build).toThrow(expect.objectContaining({ code: "CONFIG_INVALID", message: expect.stringContaining(named) }));
  });
});

function throwing(cause: unknown): () => never {
  return () => {
    throw cause;
  };
}
