import { describe, expect, it } from "vitest";
import { readInequivalence } from "../../src/queue/amqplib-queue-arguments.ts";

// Texts as RabbitMQ 3.10 to 4.x gives them; what a real server says is read in amqplib-compare-queue.test.ts.
// Planted once and seen to fail here: the last quoted text taken for the value, wherever it stands; the type left out of account.

const FOR_Q = "for queue 'q' in vhost '/'";
const sent = () => true;
const notSent = () => false;

function read(text: string, isSent: (argument: string) => boolean = notSent, queue = "q") {
  return readInequivalence(`PRECONDITION_FAILED - ${text}`, queue, isSent);
}

describe("readInequivalence", () => {
  it.each([
    ["'9' of type 'byte'", "9", 9],
    ["'-70000' of type 'signedint'", "-70000", -70_000],
    ["'9' of type 'longstr'", '"9"', "9"],
    ["'' of type 'longstr'", '""', ""],
    ["'true' of type 'bool'", "true", true],
    ["'1.5' of type 'double'", "1.5 (double)", { "!": "double", value: 1.5 }],
    ["'a' but current is 'b' of type 'longstr'", "\"a' but current is 'b\"", "a' but current is 'b"],
    ["'x' of type 'longstr' of type 'longstr'", "\"x' of type 'longstr\"", "x' of type 'longstr"],
    ["'two\nlines' of type 'longstr'", '"two\\nlines"', "two\nlines"],
  ])("reads the value %s", (value, text, known) => {
    const answer = read(`inequivalent arg 'x-a' ${FOR_Q}: received none but current is the value ${value}`);

    expect(answer).toEqual({ argument: "x-a", current: { text, value: known, isKnown: true } });
  });

  it.each([
    ["an integer that a number cannot hold", "'9007199254740993' of type 'long'"],
    ["a table", "'[{<<\"a\">>,byte,1}]' of type 'table'"],
    ["bytes that are no UTF-8", "'\uFFFD' of type 'longstr'"],
    ["a type that is new", "'x' of type 'uuid'"],
  ])("tells %s, but not as something to ask with", (_case, value) => {
    const answer = read(`inequivalent arg 'x-a' ${FOR_Q}: received none but current is the value ${value}`);

    expect(answer?.current).toMatchObject({ text: expect.stringMatching(/^.+ \([a-z]+\)$/), isKnown: false });
  });

  it("reads that the queue has none of the argument", () => {
    const answer = read(`inequivalent arg 'x-a' ${FOR_Q}: received the value '1' of type 'byte' but current is none`, sent);

    expect(answer).toEqual({ argument: "x-a", current: { text: "none", value: undefined, isKnown: true } });
  });

  it("reads a queue without a type as classic", () => {
    const answer = read(`inequivalent arg 'x-queue-type' ${FOR_Q}: received 'quorum' but current is none`);

    expect(answer?.current).toMatchObject({ value: "classic" });
  });

  it.each([
    ["durable", "false", false],
    ["auto_delete", "true", true],
    ["x-queue-type", "stream", "stream"],
  ])("reads %s where both sides have it", (argument, text, value) => {
    const answer = read(`inequivalent arg '${argument}' ${FOR_Q}: received 'other' but current is '${text}'`, sent);

    expect(answer).toMatchObject({ argument, current: { value, isKnown: true } });
  });

  it.each([
    ["both sides have a value and the types are left out", "received '5' but current is '5'"],
    [
      "what was sent looks like an answer",
      "received 'x' but current is 'a': received none but current is the value 'b' of type 'longstr'",
    ],
    ["it was cut off", "received none but current is the value 'abc..."],
  ])("does not read a value when %s", (_case, end) => {
    const answer = read(`inequivalent arg 'x-a' ${FOR_Q}: ${end}`, sent);

    expect(answer).toEqual({ argument: "x-a", current: undefined });
  });

  it("does not read a value that may begin at two places", () => {
    const twice = "received none but current is the value 'a': received none but current is the value 'b' of type 'longstr'";

    const answer = read(`inequivalent arg 'x-a' ${FOR_Q}: ${twice}`);

    expect(answer).toEqual({ argument: "x-a", current: undefined });
  });

  it("reads past a queue whose name looks like an answer", () => {
    const queue = "q' in vhost '/': received none but current is the value 'b' of type 'longstr'";

    const answer = read(
      `inequivalent arg 'x-a' for queue '${queue}' in vhost '/': received none but current is the value 'c' of type 'longstr'`,
      notSent,
      queue,
    );

    expect(answer?.current).toMatchObject({ value: "c" });
  });

  it.each([
    ["the words of another broker", "Existing queue 'q' declared with other arguments"],
    ["a refusal of something else", "invalid arg 'x-a' for queue 'q' in vhost '/': {unacceptable_type,byte}"],
    ["an argument without an end", "inequivalent arg 'x-a"],
    ["nothing", ""],
  ])("does not read %s", (_case, text) => {
    expect(read(text)).toBeUndefined();
  });
});
