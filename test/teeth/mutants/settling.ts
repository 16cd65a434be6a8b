import type { Check, Mutant } from "../mutant.ts";

const bullmq = (titles: string): Check => ({ files: ["test/queue/bullmq-conformance.test.ts"], titles });
const amqplib = (titles: string): Check => ({ files: ["test/queue/amqplib-conformance.test.ts"], titles });
const DECIDE: Check = { files: ["test/settle/decide.test.ts"] };

/** Of what the broker is told, and when. */
export const mutants: readonly Mutant[] = [
  {
    bug: "BullMQ: settled before commit: the job is completed while its handler still runs",
    file: "src/queue/bullmq.ts",
    instead: "const served = await deliverMessage(delivery, serving);",
    plant:
      "const serves = deliverMessage(delivery, serving);\n      if (serves instanceof Promise) return undefined as T;\n      const served = await serves;",
    caughtBy: bullmq("is completed with what its handler returned"),
  },
  {
    bug: "RabbitMQ: settled before commit: the message is acknowledged before it is served",
    file: "src/queue/amqplib-callback.ts",
    instead: "const served = await serve(message, messageId, journey, open);",
    plant:
      'channel.ack(message);\n      const served = await serve(message, messageId, journey, open);\n      if (served.disposition.do === "complete") return;',
    caughtBy: amqplib("S2 S3 resumes the same row|A4 A11 B2 aborts its claim"),
  },
  {
    bug: "RabbitMQ: a message that is put off is acknowledged before its copy is confirmed",
    file: "src/queue/amqplib-settler.ts",
    instead:
      "await this.#parts.delayLine.putOff(message, queue, delayMs, onward);\n      this.#tell((channel) => channel.ack(message));",
    plant:
      "this.#tell((channel) => channel.ack(message));\n      await this.#parts.delayLine.putOff(message, queue, delayMs, onward);",
    caughtBy: { files: ["test/queue/amqplib-put-off.test.ts"], titles: "is given back to its queue" },
  },
  {
    bug: "RabbitMQ: a dead letter without a reason",
    file: "src/queue/amqplib-settler.ts",
    instead: "await target.noteDeadLetter({",
    plant: "Object.freeze({",
    caughtBy: { files: ["test/queue/amqplib-given-up.test.ts"], titles: "S5 is not served again|keeps the code" },
  },
  {
    bug: "RabbitMQ: settled before what became of the row of an import is recorded",
    file: "src/queue/amqplib-settler.ts",
    instead: "await this.#account(delivery, () => completedEnd(served));\n    } catch",
    plant: "void this.#account(delivery, () => completedEnd(served)).catch(() => {});\n    } catch",
    caughtBy: amqplib("S5 are not settled while that cannot be recorded"),
  },
  {
    bug: "BullMQ: a job that is put off burns an attempt",
    file: "src/queue/bullmq.ts",
    instead: `return new DelayedError(\`put off for \${delayMs} ms\`);`,
    plant: `return new Error(\`put off for \${delayMs} ms\`);`,
    caughtBy: bullmq("A7 B8 B10 burns no attempt"),
  },
  {
    bug: "BullMQ: a job lock that was lost leaves the claim at work",
    file: "src/queue/bullmq.ts",
    instead: "loss: () => jobLockLoss(signal),",
    plant: "loss: () => undefined,",
    caughtBy: bullmq("A4 A11 B2 aborts its claim"),
  },
  {
    bug: "settled complete on unknown",
    file: "src/settle/decide.ts",
    instead: 'return bounded(chosen(policy.onLost ?? { do: "retry" }), outcome.error.message, outcome.error);',
    plant: 'return { do: "complete", result: undefined };',
    caughtBy: DECIDE,
  },
  {
    bug: "contention burns an attempt, as if it were an error",
    file: "src/settle/decide.ts",
    instead: 'return contended(chosen(policy.onContended ?? { do: "retry" }));',
    plant: 'return contended(chosen(policy.onContended ?? { do: "fail" }));',
    caughtBy: DECIDE,
  },
  {
    bug: "a server that is away is the message's fault",
    file: "src/settle/decide.ts",
    instead: "if (isPassing(outcome.error)) return outageRetry(outcome.error, context.deferrals, fraction);\n",
    plant: "",
    caughtBy: DECIDE,
  },
  {
    bug: "a message is put off without an end",
    file: "src/settle/decide.ts",
    instead: "if (context.deferrals >= limit && !isTooEarly(outcome)) {",
    plant: "if (context.deferrals >= limit * 1e9 && !isTooEarly(outcome)) {",
    caughtBy: DECIDE,
  },
  {
    bug: "a message that is given up is told of, and not recorded",
    file: "src/claim/note-dead-letter.ts",
    instead: "await parts.deadLetterBatches.submit(letter);\n",
    plant: "",
    caughtBy: { files: ["test/claim/note-dead-letter.test.ts"], titles: "is recorded with its reason and told then" },
  },
  {
    bug: "RabbitMQ: a channel is closed by amqplib's close() alone, which a lost connection leaves without an answer",
    file: "src/queue/amqplib-close-channel.ts",
    instead: "await Promise.race([channel.close(), isGone]);",
    plant: "await channel.close();\n    await isGone;",
    caughtBy: {
      files: ["test/queue/amqplib-consumer.test.ts"],
      titles: "A15 after its connection broke while it closed a channel",
    },
  },
];
