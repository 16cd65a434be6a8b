import { ExclaimError } from "../errors.ts";
import type { StandardAnswer, StandardSchema } from "../standard-schema.ts";
import type { AmqpMessage } from "./amqplib-channel.ts";
import { issuesText } from "./amqplib-payload-issues.ts";
import { jsonOf } from "./amqplib-payload-json.ts";
import { assertConfig } from "./claim-options.ts";

export const DEFAULT_MAX_PAYLOAD_BYTES = 1_048_576;
export const DEFAULT_MAX_PAYLOAD_DEPTH = 64;

/** How the payload of a message is read. Shape: `P` is the payload. */
export interface PayloadOptions<P> {
  /**
   * Makes the payload of a message: a Standard Schema (zod, valibot, arktype, ...) validates what JSON gives; a function reads the raw
   * content in its place. What it throws or refuses is dead-lettered at once. @default JSON
   */
  readonly parse?: PayloadParser<P>;
  /** How long a payload may be, in bytes, 1 or more. Longer ones are refused unread, whoever reads them. @default 1_048_576 */
  readonly maxPayloadBytes?: number;
  /** How many arrays and objects of JSON may stand in one another, 1 or more. JSON nested deeper is refused. @default 64 */
  readonly maxPayloadDepth?: number;
}

export type PayloadParser<P> = StandardSchema<P> | ((content: Buffer, message: AmqpMessage) => P | Promise<P>);

/**
 * The reader of one consumer.
 * Shape: the reader gives the payload, or a promise of it where `parse` does; it keeps nothing from one message to the next.
 * Throws CONFIG_INVALID at once when an option is wrong. The reader throws, or rejects with, MESSAGE_INVALID and nothing else. Its
 * message repeats no value of the payload; its cause is what `parse` threw or the issues of the schema, which may.
 */
export function payloadReader<P>(options: PayloadOptions<P>): (message: AmqpMessage) => Promise<P> | P {
  const { maxPayloadBytes = DEFAULT_MAX_PAYLOAD_BYTES, maxPayloadDepth = DEFAULT_MAX_PAYLOAD_DEPTH } = options;
  assertLimit("maxPayloadBytes", maxPayloadBytes);
  assertLimit("maxPayloadDepth", maxPayloadDepth);
  const read = readerOf(options.parse, maxPayloadDepth);
  return (message) => {
    const { length } = message.content;
    if (length > maxPayloadBytes) {
      throw invalid(`the payload has ${length} bytes: send at most ${maxPayloadBytes}, or raise maxPayloadBytes`);
    }
    return read(message);
  };
}

function readerOf<P>(parse: PayloadParser<P> | undefined, maxDepth: number): (message: AmqpMessage) => Promise<P> | P {
  if (parse === undefined) return (message) => jsonOf(message, maxDepth) as P;
  if (isSchema(parse)) {
    const schema = parse["~standard"];
    assertConfig(schema?.version === 1, "parse must be a Standard Schema of version 1");
    assertConfig(typeof schema.validate === "function", "parse must be a Standard Schema with a validate function");
    return (message) => {
      const json = jsonOf(message, maxDepth);
      return whenAnswered<StandardAnswer<P>, P>(
        () => schema.validate(json),
        (answer) => acceptedValue(answer, json),
      );
    };
  }
  assertConfig(typeof parse === "function", "parse must be a Standard Schema, or a function of the content");
  return (message) =>
    whenAnswered<P, P>(
      () => parse(message.content, message),
      (payload) => payload,
    );
}

/** A schema may be a function as well, and is a schema then. */
function isSchema<P>(parse: PayloadParser<P>): parse is StandardSchema<P> {
  return parse !== null && (typeof parse === "object" || typeof parse === "function") && "~standard" in parse;
}

/** What `use` makes of the answer, at once or when it is there. What `ask` throws, or rejects with, becomes a cause. */
function whenAnswered<A, P>(ask: () => A | PromiseLike<A>, use: (answer: A) => P): Promise<P> | P {
  let answer: A | PromiseLike<A>;
  try {
    answer = ask();
    if (isThenable(answer)) return Promise.resolve(answer).then(use, (cause: unknown) => Promise.reject(thrown(cause)));
  } catch (cause) {
    throw thrown(cause);
  }
  return use(answer);
}

function isThenable<A>(answer: A | PromiseLike<A>): answer is PromiseLike<A> {
  const isObject = (typeof answer === "object" && answer !== null) || typeof answer === "function";
  return isObject && "then" in answer && typeof answer.then === "function";
}

function acceptedValue<P>(answer: StandardAnswer<P>, json: unknown): P {
  let told: string;
  let cause: unknown = answer;
  try {
    if (answer.issues === undefined && "value" in answer) return answer.value;
    if (Array.isArray(answer.issues)) {
      cause = answer.issues;
      told = `the payload is refused by parse: ${issuesText(answer.issues, json)}`;
    } else {
      told = "parse gave neither { value } nor { issues }: mend the schema";
    }
  } catch (error) {
    cause = error;
    told = "parse gave an answer that cannot be read: mend the schema";
  }
  throw invalid(told, cause);
}

/** What was thrown is not repeated: it may quote the payload, as the errors of `JSON.parse` do. */
function thrown(cause: unknown): ExclaimError {
  return invalid(`the payload is refused: parse threw${kindOf(cause)}; see the cause`, cause);
}

/** The name and the code of an error, which are the program's own words. */
function kindOf(error: unknown): string {
  try {
    const { name, code } = Object(error) as { readonly name?: unknown; readonly code?: unknown };
    const words = [name, code].filter((word) => typeof word === "string" && /^[A-Za-z]\w{0,39}$/.test(word));
    return words.map((word) => ` ${word}`).join("");
  } catch {
    return "";
  }
}

function assertLimit(name: string, limit: number): void {
  assertConfig(Number.isSafeInteger(limit) && limit >= 1, `${name} must be a whole number, 1 or more`);
}

function invalid(message: string, cause?: unknown): ExclaimError {
  return new ExclaimError("MESSAGE_INVALID", message, { cause });
}
