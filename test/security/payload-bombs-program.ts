/**
 * Hands hostile payloads and files to the readers, in a process of its own whose memory and flags its test chooses. Prints one line of
 * JSON: what came of each.
 */
import { isExclaimError } from "../../src/errors.ts";
import { csvRows } from "../../src/fanout/csv-rows.ts";
import { ndjsonRows } from "../../src/fanout/ndjson-rows.ts";
import { RejectedRow } from "../../src/fanout/rejected-row.ts";
import type { AmqpMessage } from "../../src/queue/amqplib-channel.ts";
import { type PayloadOptions, payloadReader } from "../../src/queue/amqplib-payload.ts";

const POLLUTION = '{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}},"a":{"__proto__":{"polluted":1}}}';
const MEGABYTE = 1_048_576;

function messageOf(content: Buffer): AmqpMessage {
  return { content, fields: {}, properties: { headers: {}, contentEncoding: undefined } } as AmqpMessage;
}

/** What reading comes to, and how much the memory in use grew by it, in MB. */
async function read(content: Buffer, options: PayloadOptions<unknown> = {}) {
  const { heapUsed, external } = process.memoryUsage();
  let came: string;
  try {
    const payload = await payloadReader(options)(messageOf(content));
    came = typeof payload;
  } catch (error) {
    came = isExclaimError(error) ? error.code : String(error);
  }
  const after = process.memoryUsage();
  return { came, grewMb: Math.max(0, Math.round((after.heapUsed + after.external - heapUsed - external) / MEGABYTE)) };
}

async function rowsOf(rows: AsyncIterable<unknown>): Promise<string[]> {
  const kinds: string[] = [];
  try {
    for await (const row of rows) kinds.push(row instanceof RejectedRow ? "rejected" : "row");
  } catch (error) {
    kinds.push(isExclaimError(error) ? error.code : String(error));
  }
  return kinds;
}

/** Pieces of a file that is never in memory as a whole. */
async function* pieces(piece: string, count: number, end = ""): AsyncGenerator<Buffer> {
  for (let index = 0; index < count; index += 1) yield Buffer.from(piece);
  yield Buffer.from(end);
}

const schema = {
  "~standard": { version: 1 as const, vendor: "test", validate: (value: unknown) => ({ value: Object.assign({}, value) }) },
};
const big = Buffer.alloc(64 * MEGABYTE, 0x5b);
const keys = Buffer.from(`{${Array.from({ length: 70_000 }, (_, index) => `"k${index}":${index}`).join(",")}}`);
const polluted = payloadReader<Record<string, unknown>>({})(messageOf(Buffer.from(POLLUTION))) as Record<string, unknown>;
const copied = (await payloadReader({ parse: schema })(messageOf(Buffer.from('{"constructor":1}')))) as object;

const answers = {
  tooLong: await read(big),
  tooLongForParse: await read(big, { parse: () => "read" }),
  tooDeep: await read(big, { maxPayloadBytes: 2 ** 30 }),
  deepObjects: await read(Buffer.from('{"a":'.repeat(100_000)), { maxPayloadBytes: 2 ** 30 }),
  manyKeys: (await read(keys)).came,
  longNumber: (await read(Buffer.from("9".repeat(1_000_000)))).came,
  schemaThatRecurses: (
    await read(Buffer.from("[]"), {
      parse: {
        "~standard": {
          version: 1,
          vendor: "test",
          validate: function again(): never {
            return again();
          },
        },
      },
    })
  ).came,
  ownKeys: Object.keys(polluted),
  copied: Object.keys(copied),
  ndjson: await rowsOf(ndjsonRows(pieces("x".repeat(MEGABYTE), 64, `\n${POLLUTION}\n`))),
  ndjsonDeep: await rowsOf(ndjsonRows(pieces("[".repeat(900_000), 1, "\n1\n"))),
  csvQuote: await rowsOf(csvRows(pieces("x".repeat(MEGABYTE), 64), { columns: ["a"], delimiter: "," })),
  csvProto: await rowsOf(csvRows(pieces("__proto__,constructor,prototype\n1,2,3\n", 1))),
  csvHeader: await rowsOf(csvRows(pieces('"', 1, "a".repeat(3 * MEGABYTE)))),
  polluted: "polluted" in {} || "polluted" in [] || "polluted" in Object,
  peakMb: Math.round(process.resourceUsage().maxRSS / 1_024),
};
process.stdout.write(`${JSON.stringify(answers)}\n`);
