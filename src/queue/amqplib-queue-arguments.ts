/**
 * What RabbitMQ says when a queue exists otherwise than it is declared:
 *
 *     PRECONDITION_FAILED - inequivalent arg 'x-expires' for queue 'q' in vhost '/': received none but current is the value '9' of type 'byte'
 *
 * AMQP has no other way to ask how a queue was declared. Three things make the text treacherous: names and values stand in it unescaped,
 * so that each may look like the words around it; if both sides have a value, their types are left out; and it is cut after 255 bytes.
 * So only these are understood: the name of the argument, that the queue has none of it, and what it has when it was asked for without.
 * Source: RabbitMQ 3.13, `rabbit_misc:assert_args_equivalence/4`; AMQP 0-9-1, reply-text is a short string.
 */

/** What an existing queue has of an argument. */
export interface CurrentArgument {
  /** For people. */
  readonly text: string;
  /** For `assertQueue`. Undefined: the queue has none, or of a type that cannot be repeated exactly (see `isKnown`). */
  readonly value: unknown;
  /** Whether `value` is what the queue has, so that asking with it is agreed to. */
  readonly isKnown: boolean;
}

/** The first argument that differs. */
export interface Inequivalence {
  /** A name such as `x-expires`, or `durable`, `auto_delete`. */
  readonly argument: string;
  /** Undefined: the text does not tell. */
  readonly current: CurrentArgument | undefined;
}

/** A queue that has none of the argument. One without a type is a classic queue, and the broker takes both for the same. */
export function noneOf(argument: string): CurrentArgument {
  return argument === "x-queue-type" ? textual("classic") : { text: "none", value: undefined, isKnown: true };
}

const BEGINNING = "PRECONDITION_FAILED - inequivalent arg '";
const CURRENT = "': received none but current is the value '";
const INTEGERS: readonly string[] = ["byte", "short", "signedint", "long", "unsignedbyte", "unsignedshort", "unsignedint"];

/**
 * Reads which argument of `queue` differs.
 * Shape: `text` is what the broker gave as its reason; `isSent` tells whether a value was sent for an argument.
 * Returns undefined when this is no such text.
 */
export function readInequivalence(
  text: string,
  queue: string,
  isSent: (argument: string) => boolean,
): Inequivalence | undefined {
  if (!text.startsWith(BEGINNING)) return undefined;
  const named = text.slice(BEGINNING.length);
  const end = named.indexOf("' for queue '");
  const argument = named.slice(0, Math.max(end, 0));
  if (!/^[A-Za-z0-9_.-]+$/.test(argument)) return undefined;
  const rest = named.slice(end + "' for queue '".length);
  // Cut off within the name of the queue, or another queue's.
  if (!rest.startsWith(`${queue}' in vhost '`)) return { argument, current: undefined };
  return { argument, current: currentOf(argument, rest.slice(queue.length), isSent(argument)) };
}

function currentOf(argument: string, rest: string, isSent: boolean): CurrentArgument | undefined {
  // Any value ends with a quote, and a text that was cut off with dots.
  if (rest.endsWith(" but current is none")) return noneOf(argument);
  const plain = plainValueOf(argument, rest);
  if (plain !== undefined) return plain;
  // What we sent stands in the text as well and may look like anything.
  if (isSent) return undefined;
  const start = rest.indexOf(CURRENT);
  if (start === -1 || start !== rest.lastIndexOf(CURRENT)) return undefined;
  const told = /^(.*)' of type '([a-z]+)'$/s.exec(rest.slice(start + CURRENT.length));
  const [, text, type] = told ?? [];
  return text === undefined || type === undefined ? undefined : typed(text, type);
}

/** Of three arguments all values are plain words, so that they can be told even where their types are left out. */
function plainValueOf(argument: string, rest: string): CurrentArgument | undefined {
  if (argument === "durable" || argument === "auto_delete") {
    const word = / but current is '(true|false)'$/.exec(rest)?.[1];
    return word === undefined ? undefined : { text: word, value: word === "true", isKnown: true };
  }
  if (argument !== "x-queue-type") return undefined;
  const type = / but current is (?:the value )?'([a-z0-9_-]+)'(?: of type 'longstr')?$/.exec(rest)?.[1];
  return type === undefined ? undefined : textual(type);
}

function textual(value: string): CurrentArgument {
  return { text: JSON.stringify(value), value, isKnown: true };
}

function typed(text: string, type: string): CurrentArgument {
  const value = repeatable(text, type);
  if (typeof value === "string") return textual(value);
  if (typeof value === "number" || typeof value === "boolean") return { text, value, isKnown: true };
  return { text: `${text} (${type})`, value, isKnown: value !== undefined };
}

/** The value to send so that the broker has the same; undefined if it cannot be repeated exactly. */
function repeatable(text: string, type: string): unknown {
  // Bytes that are no UTF-8 were lost on the way.
  if (type === "longstr") return text.includes("\uFFFD") ? undefined : text;
  if (type === "bool") return text === "true" ? true : text === "false" ? false : undefined;
  const number = /^-?\d+(\.\d+)?(e[+-]?\d+)?$/.test(text) ? Number(text) : Number.NaN;
  if (INTEGERS.includes(type)) return Number.isSafeInteger(number) ? number : undefined;
  if (type === "double" || type === "float") return Number.isFinite(number) ? { "!": "double", value: number } : undefined;
  return undefined;
}
