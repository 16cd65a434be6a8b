import { ExclaimError } from "../errors.ts";
import type { ImportEnd, ImportedRow, ImportReject, ImportRun } from "../ledger/imports.ts";
import { answeredWithin } from "./answered-within.ts";
import type { RowChunk } from "./chunk-reader.ts";
import type { FanOutProgress, FanOutResult } from "./fan-out-options.ts";
import type { Plan } from "./plan.ts";
import type { ReadRow } from "./read-row.ts";
import { storable } from "./storable.ts";
import { untilReached } from "./until-reached.ts";

const NO_ROWS = { rows: [], rejects: [], knownRows: 0, knownRejects: 0 };

/** How far a run has come: what is recorded, what is with the broker, and the counts. */
export class Course<R, V> {
  readonly #plan: Plan<R, V>;
  readonly #run: ImportRun;
  /** Rows of the source, from its start, that are with the broker or rejected. */
  #position: number;
  #sent = 0;
  #published = 0;
  #rejected: number;
  #duplicated: number;
  /** What the broker would not take, until it is recorded. */
  #refused: readonly ImportReject[] = [];
  #firstReject: ImportReject | undefined;
  #publishing: Promise<{ readonly error?: unknown }> = Promise.resolve({});

  constructor(plan: Plan<R, V>, run: ImportRun) {
    this.#plan = plan;
    this.#run = run;
    this.#position = run.position;
    this.#rejected = run.rejected;
    this.#duplicated = run.duplicated;
  }

  /** Messages that were handed to the broker in this run, taken or not yet. */
  get sent(): number {
    return this.#sent;
  }

  /**
   * Records a chunk, while the one before it may still be on its way to the broker.
   * After: its rows that are to be published. `cancelled`, `superseded`: nothing was recorded, and this run is over.
   */
  async record(chunk: Omit<RowChunk, "rowsAfter">): Promise<readonly ReadRow[] | "cancelled" | "superseded"> {
    const { id, runs } = this.#plan;
    const refused = this.#refused;
    const rows = chunk.rows.map(({ row }) => row);
    const rejects = [...refused, ...chunk.rejects];
    const position = this.#position;
    const answer = await untilReached(() => runs.record({ id, run: this.#run.run, position, rows, rejects }), this.#plan);
    if (answer.status !== "recorded") return answer.status;
    // What was refused meanwhile, of the chunk before, is told with the next one.
    this.#refused = this.#refused.slice(refused.length);
    this.#firstReject ??= chunk.rejects[chunk.knownRejects];
    this.#rejected += chunk.rejects.length - chunk.knownRejects;
    this.#duplicated += answer.rows.slice(chunk.knownRows).filter((row) => row === "duplicated").length;
    return chunk.rows.filter((_, at) => answer.rows[at] === "publish");
  }

  /** Nothing to record: tells that the run is alive, how far it has come, and hears whether it was cancelled. */
  async beat(): Promise<"cancelled" | "superseded" | undefined> {
    const answer = await this.record(NO_ROWS);
    return typeof answer === "string" ? answer : undefined;
  }

  /** Begins to publish rows of a chunk. Only once the one before it is published: one bulk at a time (F3). */
  publish({ rowsAfter }: RowChunk, rows: readonly ReadRow[]): void {
    this.#sent += rows.length;
    this.#publishing = this.#publish(rowsAfter, rows).then(
      () => ({}),
      (error: unknown) => ({ error }),
    );
  }

  /** Resolves once no message is on its way. Throws what publishing threw: BROKER_UNREACHABLE, CONFIG_INVALID. */
  async settled(): Promise<void> {
    const outcome = await this.#publishing;
    if ("error" in outcome) throw outcome.error;
  }

  /** Throws TOO_MANY_REJECTED. */
  checkRejected(): void {
    if (this.#rejected <= this.#plan.maxRejected) return;
    const first = this.#firstReject;
    throw new ExclaimError(
      "TOO_MANY_REJECTED",
      `${this.#rejected} rows were rejected, and maxRejected is ${this.#plan.maxRejected}${
        first === undefined ? "" : `; line ${first.line}: ${first.reason}`
      }. The report of import ${this.#plan.id} names them all; with a larger maxRejected the same call goes on`,
    );
  }

  /** Ends the run, once nothing is on its way. Throws what publishing threw; DATABASE_UNREACHABLE. */
  async end(status: "published" | "stopped"): Promise<FanOutResult> {
    await this.settled();
    const reason = status === "stopped" ? "it was told to stop" : null;
    const isEnded = await untilReached(() => this.#plan.runs.end(this.#ending(status, reason)), this.#plan);
    // Cancelled meanwhile, or begun anew: the record says which.
    return this.result(isEnded ? status : ((await this.beat()) ?? "superseded"));
  }

  /** Ends the run as stopped although the broker is away: what it did not take is published by the next run. */
  async stop(): Promise<FanOutResult> {
    await this.#publishing;
    this.#publishing = Promise.resolve({});
    return this.end("stopped");
  }

  /** Ends the run after an error, if the database can be reached, and throws nothing. */
  async fail(error: unknown): Promise<void> {
    await this.#publishing;
    const reason = error instanceof Error ? error.message : String(error);
    await this.#plan.runs.end(this.#ending("failed", reason)).catch(() => {});
  }

  result(status: FanOutResult["status"]): FanOutResult {
    return { ...this.#counts(), status, resumed: this.#run.resumed };
  }

  /** Tells `onProgress`. */
  tell(isHeldUp: boolean): void {
    try {
      this.#plan.onProgress?.({ ...this.#counts(), isHeldUp });
    } catch {
      // A listener does not end an import.
    }
  }

  async #publish(rowsAfter: number, rows: readonly ReadRow[]): Promise<void> {
    const messages = rows.map(({ message }) => message);
    const { target, clock, sendLimitMs } = this.#plan;
    const send = () => answeredWithin(clock, sendLimitMs, target.name, target.send(messages));
    const answers = rows.length === 0 ? [] : await untilReached(send, this.#plan);
    for (const [at, { row, message }] of rows.entries()) {
      const answer = answers[at];
      if (answer === "sent") this.#published += 1;
      else this.#refuse(row, answer?.refused.message ?? `${target.name} did not answer for ${message.id}`);
    }
    this.#position = rowsAfter;
    this.tell(false);
  }

  #refuse({ line, key, rowKey }: ImportedRow, reason: string): void {
    const reject: ImportReject = { line, key: key ?? rowKey, code: "MESSAGE_REFUSED", reason: storable(reason) };
    this.#refused = [...this.#refused, reject];
    this.#rejected += 1;
    this.#firstReject ??= reject;
  }

  #ending(status: ImportEnd["status"], reason: string | null): ImportEnd {
    const text = reason === null ? null : storable(reason);
    return { id: this.#plan.id, run: this.#run.run, position: this.#position, status, reason: text, rejects: this.#refused };
  }

  #counts(): Omit<FanOutProgress, "isHeldUp"> {
    return {
      id: this.#plan.id,
      rows: this.#position,
      published: this.#published,
      rejected: this.#rejected,
      duplicated: this.#duplicated,
    };
  }
}
