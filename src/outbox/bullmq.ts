/**
 * Messages to a BullMQ `Queue`, 5 or 6, on Redis or on PostgreSQL. bullmq itself is not imported: what is used of it is `BullmqQueue`.
 *
 * A message becomes a job: its id the job's, its topic the name, its payload the data. While BullMQ keeps the job, in whatever state, a
 * second message of its id adds nothing.
 *
 * What BullMQ does silently is found here: a bulk is not atomic on Redis, and a job that a script refused comes back with a negative id.
 * Source: bullmq 5.81 and 6.7, `Queue#addBulk`, `Job#validateOptions`.
 */
import { ExclaimError } from "../errors.ts";
import { isNoJson, NOT_JSON, refused, whyIdRefused } from "./refusal.ts";
import type { MessageTarget, OutgoingMessage, SendAnswer } from "./target.ts";
import type { TargetOptions } from "./target-options.ts";
import { SEND_TIMEOUT_MS, within } from "./within.ts";

/** What is used of BullMQ's `Queue`. */
export interface BullmqQueue {
  readonly name: string;
  addBulk(jobs: BullmqBulkJob[]): Promise<readonly { readonly id?: string | undefined }[]>;
  getJobCounts(...types: string[]): Promise<Readonly<Record<string, number>>>;
}

export interface BullmqBulkJob {
  name: string;
  data: unknown;
  opts?: { jobId?: string };
}

export interface BullmqTargetOptions extends Pick<TargetOptions, "jobOptions"> {
  /** How long the server may be silent, in ms, before messages count as not sent. A Queue by itself may wait for ever. @default 30_000 */
  readonly sendTimeoutMs?: number;
}

/** Measured with 100,000 small jobs: 200 is the fastest bulk, and others of the server wait for it 23 ms at most. */
const CHUNK_SIZE = 200;

/** What waits for a worker. BullMQ 5 counts paused jobs among the waiting. */
const BACKLOG = ["waiting", "delayed", "prioritized"];

/**
 * Sends messages to a BullMQ queue.
 * Shape: `jobOptions` are every job's; its `jobId` is the message's id whatever they say.
 * After `send`: what is answered `sent` is a job of the queue, or was one that BullMQ still keeps. Refused alone are an id that BullMQ
 * does not take or answers with another, and a payload that JSON cannot hold, `undefined` too. On PostgreSQL, BullMQ itself reads `null`
 * as `{}`.
 * Died in between: a part may be there; sent again, its jobs are not added twice.
 * Throws CONFIG_INVALID: `jobOptions` has a `jobId`.
 */
export function bullmqTarget(queue: BullmqQueue, options: BullmqTargetOptions = {}): MessageTarget {
  const { jobOptions = {}, sendTimeoutMs = SEND_TIMEOUT_MS } = options;
  if ("jobId" in jobOptions) {
    throw new ExclaimError("CONFIG_INVALID", "`jobOptions.jobId` cannot be set: the id of a job is the id of its message");
  }
  const name = `BullMQ queue ${queue.name}`;
  const ask = patientAsker(name, sendTimeoutMs);
  const bulk: Bulk = async (messages) => {
    const jobs = messages.map(({ id, topic, payload }) => ({ name: topic, data: payload, opts: { ...jobOptions, jobId: id } }));
    return ask(async () => queue.addBulk(jobs));
  };
  return {
    name,
    chunkSize: CHUNK_SIZE,
    async send(messages) {
      if (messages.length <= CHUNK_SIZE) return sendSlice(bulk, messages, name);
      const answers: SendAnswer[] = [];
      for (let from = 0; from < messages.length; from += CHUNK_SIZE) {
        answers.push(...(await sendSlice(bulk, messages.slice(from, from + CHUNK_SIZE), name)));
      }
      return answers;
    },
    async backlog() {
      try {
        const counts = await ask(async () => queue.getJobCounts(...BACKLOG));
        return Object.values(counts).reduce((sum, count) => sum + count, 0);
      } catch (error) {
        throw unreachable(name, error);
      }
    },
  };
}

/**
 * Asks the server, for `timeoutMs` at most. What it has not answered by then a client may still hold, to send it once the server is back:
 * it is given nothing more until then, so that it does not hold ever more.
 */
function patientAsker(name: string, timeoutMs: number): <T>(question: () => Promise<T>) => Promise<T> {
  let held: Promise<void> | undefined;
  return async (question) => {
    if (held !== undefined) await within(held, timeoutMs, name);
    const answer = question();
    let isOpen = true;
    const end = (): void => {
      isOpen = false;
    };
    const ended = answer.then(end, end);
    try {
      return await within(answer, timeoutMs, name);
    } catch (error) {
      if (isOpen) {
        const holding = ended.then(() => {
          if (held === holding) held = undefined;
        });
        held = holding;
      }
      throw error;
    }
  };
}

type Bulk = (messages: readonly OutgoingMessage[]) => Promise<readonly { readonly id?: unknown }[]>;

async function sendSlice(bulk: Bulk, messages: readonly OutgoingMessage[], name: string): Promise<readonly SendAnswer[]> {
  const answers: SendAnswer[] = messages.map(refusedUnsent);
  const sendable = messages.filter((_, index) => answers[index] === "sent");
  if (sendable.length === 0) return answers;
  const results = await addAll(bulk, sendable, name);
  let next = 0;
  return answers.map((answer) => (answer === "sent" ? (results[next++] ?? answer) : answer));
}

/** `refused` for what BullMQ would throw over or rename, `sent` for the rest. Cheap: it is asked of every message. */
function refusedUnsent(message: OutgoingMessage): SendAnswer {
  const { id, payload } = message;
  const why = whyIdRefused(id) ?? whyBullmqRefuses(id);
  if (why !== undefined) return refused(message, why);
  return isNoJson(payload) ? refused(message, NOT_JSON) : "sent";
}

function whyBullmqRefuses(id: string): string | undefined {
  if (`${Number.parseInt(id, 10)}` === id) return "has an id that BullMQ takes for a number of its own: put a letter in front";
  if (!id.includes(":")) return undefined;
  if (id.startsWith("0:")) return "has an id that starts with 0:, which BullMQ keeps for itself";
  return id.split(":").length === 3 ? undefined : "has a colon in its id, which BullMQ refuses";
}

/** One bulk; when that fails over single messages, without those, or one after another. */
async function addAll(bulk: Bulk, messages: readonly OutgoingMessage[], name: string): Promise<readonly SendAnswer[]> {
  let added: readonly { readonly id?: unknown }[];
  try {
    added = await bulk(messages);
  } catch (error) {
    const answers = messages.map(jsonAnswer);
    const rest = messages.filter((_, index) => answers[index] === "sent");
    const isOfOne = rest.length < messages.length || isOfMessages(error);
    if (!isOfOne) throw unreachable(name, error);
    // A message that fails alone is refused alone.
    if (messages.length === 1)
      return rest.length === 0 ? answers : messages.map((message) => refused(message, ofBullmq(error), error));
    const results = rest.length < messages.length ? await addAll(bulk, rest, name) : await addEach(bulk, rest, name);
    let next = 0;
    return answers.map((answer) => (answer === "sent" ? (results[next++] ?? answer) : answer));
  }
  if (added.length !== messages.length) {
    throw new ExclaimError(
      "BROKER_UNREACHABLE",
      `${name} answered ${added.length} jobs for ${messages.length}: send them again`,
    );
  }
  return messages.map((message, index) => (added[index]?.id === message.id ? "sent" : otherId(message, added[index]?.id)));
}

async function addEach(bulk: Bulk, messages: readonly OutgoingMessage[], name: string): Promise<readonly SendAnswer[]> {
  const answers: SendAnswer[] = [];
  for (const message of messages) answers.push(...(await addAll(bulk, [message], name)));
  return answers;
}

/** A script of BullMQ answers an error as a negative number, and `addBulk` gives that out as the job's id. */
function otherId(message: OutgoingMessage, id: unknown): SendAnswer {
  const code = Number(id);
  if (code === -5)
    return refused(message, "was not added: BullMQ knows no job of the id that `jobOptions.parent` names (code -5)");
  if (code < 0) return refused(message, `was not added: BullMQ answered code ${code}`);
  return refused(
    message,
    "was not added: BullMQ answered the id of another job; do its options deduplicate, by one id for all?",
  );
}

function jsonAnswer(message: OutgoingMessage): SendAnswer {
  try {
    return JSON.stringify(message.payload) === undefined ? refused(message, NOT_JSON) : "sent";
  } catch (error) {
    return refused(message, NOT_JSON, error);
  }
}

/** Whether one message may be the cause, rather than the server: BullMQ's own checks, and what PostgreSQL says of data. */
function isOfMessages(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const { code } = error as { code?: unknown };
  if (typeof code === "string") return /^(22|54)[0-9A-Z]{3}$/.test(code);
  return /exceeds the limit/.test(error.message);
}

/** What PostgreSQL says of data may quote it: then the code alone. */
function ofBullmq(error: unknown): string {
  const { code, message } = error as { code?: unknown; message?: unknown };
  if (typeof code === "string") return `has a payload that BullMQ's database refuses (${code}): a NUL character, or too much`;
  return `was not taken by BullMQ: ${String(message)}`;
}

function unreachable(name: string, cause: unknown): ExclaimError {
  if (cause instanceof ExclaimError) return cause;
  const why = cause instanceof Error ? cause.message : String(cause);
  return new ExclaimError("BROKER_UNREACHABLE", `${name} did not take messages: ${why}`, { cause });
}
