import type { Clock } from "../clock.ts";
import { ExclaimError, isExclaimError } from "../errors.ts";
import type { OutboxRoute } from "./outbox-routes.ts";
import type { MessageTarget, SendAnswer } from "./target.ts";

/** One message may take so long; then its broker counts as unreachable. */
const SEND_LIMIT_MS = 10_000;
/** No message is begun later: together with the last one this is how long the rows of a batch are locked. */
const BATCH_LIMIT_MS = 10_000;

/** A row of the outbox that waits. */
export interface WaitingRow {
  readonly id: string;
  readonly topic: string;
  /** JSON text. */
  readonly payload: string;
  /** Rows of the same line are sent one after the other. */
  readonly line: string;
  /** Refusals so far. */
  readonly attempts: number;
}

/** What becomes of a row that the broker refused. */
export interface RefusedRow {
  readonly id: string;
  readonly attempt: number;
  readonly reason: string;
  /** When it is tried again; null: it is parked. */
  readonly delayMs: number | null;
  /** For whoever is told. */
  readonly error: ExclaimError;
}

export interface Refusal {
  readonly row: WaitingRow;
  readonly error: ExclaimError;
}

/** What became of a batch. Rows that are in neither list were not sent, or nobody knows. */
export interface SentRows {
  /** Their ids. */
  readonly sent: readonly string[];
  readonly refused: readonly Refusal[];
  /** The destination could not be reached: nothing more was sent. */
  readonly failure?: ExclaimError;
}

/**
 * Sends rows that are in order: of each line only one is under way, and none goes after one that was refused, or whose fate is unknown.
 * After: `sent` rows are durable with the broker. Never throws.
 */
export async function sendInOrder(clock: Clock, route: OutboxRoute, rows: readonly WaitingRow[]): Promise<SentRows> {
  const sent: string[] = [];
  const refused: Refusal[] = [];
  const endMs = clock.now() + BATCH_LIMIT_MS;
  const stuck = new Set<string>();
  for (const round of rounds(rows)) {
    const free = round.filter(({ line }) => !stuck.has(line));
    for (const [target, some] of chunks(route, free)) {
      if (clock.now() >= endMs) return { sent, refused };
      const answers = await answersOf(clock, target, some, endMs);
      if (answers instanceof ExclaimError) return { sent, refused, failure: answers };
      for (const [index, row] of some.entries()) {
        const answer = answers[index];
        if (answer === "sent") sent.push(row.id);
        else stuck.add(row.line);
        if (typeof answer === "object") refused.push({ row, error: answer.refused });
      }
    }
  }
  return { sent, refused };
}

/** The first row of every line, then the second of those that have one, and so on. */
function rounds(rows: readonly WaitingRow[]): readonly (readonly WaitingRow[])[] {
  const found: WaitingRow[][] = [];
  const lengths = new Map<string, number>();
  for (const row of rows) {
    const place = lengths.get(row.line) ?? 0;
    lengths.set(row.line, place + 1);
    const round = found[place] ?? [];
    found[place] = round;
    round.push(row);
  }
  return found;
}

/** By target, and each as many as suit it. */
function* chunks(route: OutboxRoute, rows: readonly WaitingRow[]): Generator<readonly [MessageTarget, readonly WaitingRow[]]> {
  const byTarget = new Map<MessageTarget, WaitingRow[]>();
  for (const row of rows) {
    const target = route.targetOf(row.topic);
    const some = byTarget.get(target) ?? [];
    byTarget.set(target, some);
    some.push(row);
  }
  for (const [target, some] of byTarget) {
    const size = Math.max(1, Math.floor(target.chunkSize));
    for (let start = 0; start < some.length; start += size) yield [target, some.slice(start, start + size)];
  }
}

/**
 * The answers of a target, or why it cannot be reached. One message alone can make a whole call fail: when the first and the last fail
 * alone as well, it is the target; else each is tried alone, and one that fails is refused, to be tried again later than the others.
 */
async function answersOf(
  clock: Clock,
  target: MessageTarget,
  rows: readonly WaitingRow[],
  endMs: number,
): Promise<readonly SendAnswer[] | ExclaimError> {
  const alone = (row: WaitingRow | undefined) => askedOf(clock, target, row === undefined ? [] : [row]);
  const answers = await askedOf(clock, target, rows);
  if (!isExclaimError(answers, "BROKER_UNREACHABLE") || rows.length < 2 || clock.now() >= endMs) return answers;
  const edges = [await alone(rows[0]), await alone(rows.at(-1))] as const;
  if (edges.every((edge) => edge instanceof ExclaimError)) return answers;
  const all: SendAnswer[] = [];
  for (const [index, row] of rows.entries()) {
    const edge = index === 0 ? edges[0] : index === rows.length - 1 ? edges[1] : undefined;
    if (edge === undefined && clock.now() >= endMs) break;
    const answer = edge ?? (await alone(row));
    all.push(answer instanceof ExclaimError ? { refused: answer } : (answer[0] ?? "sent"));
  }
  return all;
}

function askedOf(
  clock: Clock,
  target: MessageTarget,
  rows: readonly WaitingRow[],
): Promise<readonly SendAnswer[] | ExclaimError> {
  return answered(clock, target, rows).catch((error: unknown) => unreachable(target, error));
}

/** What a late answer brings is dropped: its messages count as not sent, and are sent again under the same ids. */
function answered(clock: Clock, target: MessageTarget, rows: readonly WaitingRow[]): Promise<readonly SendAnswer[]> {
  return new Promise((resolve, reject) => {
    const cancel = clock.after(
      SEND_LIMIT_MS,
      () => reject(new ExclaimError("BROKER_UNREACHABLE", `${target.name} gave no answer within ${SEND_LIMIT_MS} ms`)),
      true,
    );
    const send = async () => {
      const answers = await target.send(
        rows.map(({ id, topic, payload }) => ({ id, topic, payload: JSON.parse(payload) as unknown })),
      );
      if (answers.length === rows.length) return answers;
      throw new ExclaimError("CONFIG_INVALID", `${target.name} must answer each message: ${answers.length} of ${rows.length}`);
    };
    send().then(resolve, reject).finally(cancel);
  });
}

function unreachable(target: MessageTarget, error: unknown): ExclaimError {
  if (error instanceof ExclaimError) return error;
  const reason = error instanceof Error ? error.message : String(error);
  return new ExclaimError("BROKER_UNREACHABLE", `${target.name} did not take messages: ${reason}`, { cause: error });
}
