import type { Mutant } from "../mutant.ts";

/** Of messages: published once they are committed, and marked once they are published. */
export const mutants: readonly Mutant[] = [
  {
    bug: "outbox: a row is marked sent before it is sent",
    file: "src/outbox/dispatch-batch.ts",
    instead: "const { sent, refused, failure } = await sendInOrder",
    plant:
      "await ask(markSent(schema, rows.map(({ id }) => id)));\n  await ask({ text: 'commit' });\n  await ask({ text: 'begin' });\n  const { sent, refused, failure } = await sendInOrder",
    caughtBy: { files: ["test/outbox/dispatch-failures.test.ts"], titles: "O2 sends the message again" },
  },
  {
    bug: "outbox: rows are read before their lock",
    file: "src/outbox/dispatch-batch.ts",
    instead:
      'const locked = (await ask(lockPartitions(lockSpace, someOf(due, settings)))).map(partitionOf);\n  if (locked.length === 0) return { status: "busy" };',
    plant:
      'const rows = (await ask(readRows(schema, route, due, batchSize))) as readonly WaitingRow[];\n  const locked = (await ask(lockPartitions(lockSpace, due))).map(partitionOf);\n  if (locked.length === 0) return { status: "busy" };',
    also: [
      {
        instead: "const rows = (await ask(readRows(schema, route, locked, batchSize))) as readonly WaitingRow[];\n",
        plant: "",
      },
    ],
    caughtBy: { files: ["test/outbox/dispatch-order.test.ts"], titles: "O3 read rows only once" },
  },
  {
    bug: "outbox: what comes after a refused message of its claimant overtakes it",
    file: "src/outbox/send-in-order.ts",
    instead: "else stuck.add(row.line);",
    plant: "else stuck.add(row.id);",
    caughtBy: { files: ["test/outbox/dispatch-order.test.ts"], titles: "O3 holds within a batch" },
  },
  {
    bug: "fan-out: rows count as published before they are",
    file: "src/fanout/course.ts",
    instead: "const messages = rows.map(({ message }) => message);",
    plant: "this.#position = rowsAfter;\n    const messages = rows.map(({ message }) => message);",
    caughtBy: { files: ["test/fanout/servers.test.ts"], titles: "fails when the broker stays away" },
  },
  {
    bug: "fan-out: a chunk is published before it is recorded",
    file: "src/fanout/fan-out.ts",
    instead: "const rows = await course.record(chunk);\n    await course.settled();",
    plant:
      "const all = chunk.rows;\n    await course.settled();\n    course.publish(chunk, all);\n    await course.settled();\n    const rows = await course.record(chunk);",
    caughtBy: { files: ["test/fanout/servers.test.ts"], titles: "F3 publishes one chunk at a time" },
  },
  {
    bug: "outbox: an effect without a dedupe key: a message that is sent again has another id",
    file: "src/outbox/send-in-order.ts",
    instead: "rows.map(({ id, topic, payload }) => ({ id, topic, payload",
    plant: `rows.map(({ id, topic, payload }) => ({ id: \`\${id}-\${clock.now()}\`, topic, payload`,
    caughtBy: { files: ["test/outbox/dispatch-failures.test.ts"], titles: "O2 sends the message again, under the same id" },
  },
  {
    bug: "outbox: an effect without a dedupe key: BullMQ gets a job without the message's id",
    file: "src/outbox/bullmq.ts",
    instead: "({ name: topic, data: payload, opts: { ...jobOptions, jobId: id } })",
    plant: "({ name: topic, data: payload, opts: { ...jobOptions, ...(id === null ? { jobId: id } : {}) } })",
    caughtBy: { files: ["test/outbox/dispatch-brokers.test.ts"], titles: "O2 becomes no second BullMQ job" },
  },
  {
    bug: "fan-out: an effect without a dedupe key: a row that is read again has another message id",
    file: "src/ledger/import-message-id.ts",
    instead: `return \`imp-\${importId.replaceAll("-", "--")}-\${rowKey}\`;`,
    plant: `return \`imp-\${importId.replaceAll("-", "--")}-\${rowKey}\${performance.now()}\`;`,
    caughtBy: { files: ["test/ledger/import-message-id.test.ts"] },
  },
];
