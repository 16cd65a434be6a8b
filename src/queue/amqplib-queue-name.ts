import { ExclaimError } from "../errors.ts";

/** Source: AMQP 0-9-1, queue names are short strings. */
const MAX_NAME_BYTES = 255;

/**
 * Throws CONFIG_INVALID, in the name of `asker`, unless a queue can be declared under `name`.
 * Refused are also line breaks, which RabbitMQ takes out of a name without a word, and halves of characters, which UTF-8 cannot carry.
 */
export function assertQueueName(asker: string, name: unknown): asserts name is string {
  const wrong = wrongIn(name);
  if (wrong !== undefined) throw new ExclaimError("CONFIG_INVALID", `${asker}: ${wrong}`);
}

function wrongIn(name: unknown): string | undefined {
  if (typeof name !== "string" || name === "") return "the name of a queue must be a text that is not empty";
  const shown = JSON.stringify(name);
  if (name.startsWith("amq."))
    return `the queue ${shown} cannot be declared: names that begin with "amq." are the broker's own`;
  if (/[\r\n\0]|\p{Surrogate}/u.test(name))
    return `the queue ${shown} must not have line breaks or broken characters in its name`;
  const bytes = Buffer.byteLength(name);
  if (bytes > MAX_NAME_BYTES) return `the name of the queue ${shown} has ${bytes} bytes, and may have ${MAX_NAME_BYTES}`;
  return undefined;
}
