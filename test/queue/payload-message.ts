import type { AmqpMessage } from "../../src/queue/amqplib-channel.ts";
import type { PayloadOptions } from "../../src/queue/amqplib-payload.ts";
import { payloadReader } from "../../src/queue/amqplib-payload.ts";
import type { StandardAnswer, StandardIssue, StandardSchema } from "../../src/standard-schema.ts";

/** A message as amqplib delivers it, with what of it the payload depends on. */
export function messageWith(content: string | Uint8Array, contentEncoding?: string): AmqpMessage {
  return { content: Buffer.from(content), fields: {}, properties: { headers: {}, contentEncoding } } as AmqpMessage;
}

/** What a reader with these options makes of the content, or the error that it throws or rejects with. */
export async function readWith<P>(
  options: PayloadOptions<P>,
  content: string | Uint8Array,
  encoding?: string,
): Promise<unknown> {
  const read = payloadReader(options);
  try {
    return await read(messageWith(content, encoding));
  } catch (error) {
    return error;
  }
}

/** A schema as the specification describes it, that answers what `validate` gives. */
export function schemaOf<P>(validate: (value: unknown) => StandardAnswer<P> | Promise<StandardAnswer<P>>): StandardSchema<P> {
  return { "~standard": { version: 1, vendor: "test", validate } };
}

/** A schema that refuses every value, with these issues. */
export function refusing(...issues: readonly StandardIssue[]): StandardSchema<never> {
  return schemaOf<never>(() => ({ issues }));
}
