import { ExclaimError } from "../errors.ts";
import type { ImportReject } from "../ledger/imports.ts";
import type { RowSource } from "./fan-out-options.ts";
import { hearErrors } from "./numbered-rows.ts";
import type { Plan } from "./plan.ts";
import { createRowReader, isPromise, type ReadRow, type RowReader } from "./read-row.ts";
import { sleep } from "./sleep.ts";

/** Rows that are handed on together. */
export interface RowChunk {
  readonly rows: readonly ReadRow[];
  readonly rejects: readonly ImportReject[];
  /** Rows of the source, from its start, once this chunk is done with. */
  readonly rowsAfter: number;
  /** How many of `rows` and of `rejects`, the first ones, an earlier run had recorded: they are counted already. */
  readonly knownRows: number;
  readonly knownRejects: number;
}

/** Where an import goes on. */
export interface Start {
  /** Rows of the source to read past. */
  readonly position: number;
  /** Rows of the source that an earlier run recorded. */
  readonly rows: number;
}

/** A source that gives a row now and then: what is there is handed on after this time, if only the news that nothing is. */
const LINGER_MS = 1_000;
/** The event loop gets a turn at least so often, whatever the source does. */
const TURN_MS = 10;

/** Reads a source chunk by chunk. It reads at most one chunk ahead of what was taken. */
export class ChunkReader<R, V> {
  readonly #plan: Plan<R, V>;
  readonly #source: RowSource<R>;
  readonly #iterator: AsyncIterator<unknown> | Iterator<unknown>;
  readonly #readRow: RowReader;
  #start: Start = { position: 0, rows: 0 };
  /** Rows of the source that were read past or are in a chunk. */
  #rows = 0;
  #open = new OpenChunk();
  #filling: Promise<void> | undefined;
  #isWaiting = false;
  #end: { readonly error?: unknown } | undefined;
  #isClosed = false;
  #turnEndsAt: number;

  constructor(source: RowSource<R>, plan: Plan<R, V>) {
    this.#plan = plan;
    this.#source = source;
    this.#iterator = iteratorOf(source);
    this.#readRow = createRowReader(plan.id, plan);
    this.#turnEndsAt = plan.clock.now() + TURN_MS;
    hearErrors(source);
  }

  startAt(start: Start): void {
    this.#start = start;
  }

  /**
   * The next chunk: a full one, or what there is when the source pauses or ends, or the signal is aborted. Undefined: there was no more.
   * Throws what the source threw, once all before it was taken; IMPORT_MISMATCH: the source is shorter than what was read of it before.
   */
  async next(): Promise<RowChunk | undefined> {
    if (this.#end === undefined) {
      this.#filling ??= this.#fill().finally(() => {
        this.#filling = undefined;
      });
      await sleep(this.#plan.clock, LINGER_MS, this.#plan.signal, this.#filling);
    }
    const chunk = this.#open;
    if (this.#end === undefined || chunk.size > 0) {
      this.#open = new OpenChunk();
      return { ...chunk.parts, rowsAfter: Math.max(this.#rows, this.#start.position) };
    }
    if ("error" in this.#end) throw this.#end.error;
    if (this.#rows < this.#start.position) throw shorter(this.#rows, this.#start.position);
    return undefined;
  }

  /** Closes the source. Never throws; a source that is waited for is not waited for any longer. */
  async close(): Promise<void> {
    this.#isClosed = true;
    if (this.#end === undefined) {
      const closed = Promise.resolve()
        .then(() => this.#iterator.return?.())
        .catch(() => {});
      if (!this.#isWaiting) await closed;
    }
    if ("destroy" in this.#source && typeof this.#source.destroy === "function") this.#source.destroy();
  }

  async #fill(): Promise<void> {
    try {
      while (this.#open.size < this.#plan.chunkSize && !this.#isClosed) {
        if (this.#plan.clock.now() > this.#turnEndsAt) await this.#turn();
        const step = await this.#pull();
        if (this.#isClosed) return;
        if (step.done) {
          this.#end = {};
          return;
        }
        const index = this.#rows + 1;
        if (index > this.#start.position) {
          const reading = this.#readRow(step.value, this.#lineOf(index));
          // Awaited before the open chunk is looked up: meanwhile that may be taken, and another be open.
          const read = isPromise(reading) ? await reading : reading;
          this.#open.add(read, index <= this.#start.rows);
        }
        // Not sooner: a chunk may be taken while a row is still being validated, and that row is not in it.
        this.#rows = index;
      }
    } catch (error) {
      this.#end = { error };
    }
  }

  async #pull(): Promise<IteratorResult<unknown>> {
    this.#isWaiting = true;
    try {
      return await this.#iterator.next();
    } finally {
      this.#isWaiting = false;
    }
  }

  #lineOf(index: number): number {
    return "line" in this.#source && typeof this.#source.line === "number" ? this.#source.line : index;
  }

  async #turn(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    this.#turnEndsAt = this.#plan.clock.now() + TURN_MS;
  }
}

class OpenChunk {
  readonly parts = {
    rows: [] as ReadRow[],
    rejects: [] as ImportReject[],
    knownRows: 0,
    knownRejects: 0,
  };

  get size(): number {
    return this.parts.rows.length + this.parts.rejects.length;
  }

  add(read: ReadRow | ImportReject, isKnown: boolean): void {
    if ("message" in read) {
      this.parts.rows.push(read);
      if (isKnown) this.parts.knownRows += 1;
    } else {
      this.parts.rejects.push(read);
      if (isKnown) this.parts.knownRejects += 1;
    }
  }
}

function iteratorOf<R>(source: RowSource<R>): AsyncIterator<unknown> | Iterator<unknown> {
  if (typeof source === "object" && source !== null) {
    if (Symbol.asyncIterator in source) return source[Symbol.asyncIterator]();
    if (Symbol.iterator in source) return source[Symbol.iterator]();
  }
  throw new ExclaimError("CONFIG_INVALID", "the source must be an iterable, an async iterable or a stream of rows");
}

function shorter(rows: number, position: number): ExclaimError {
  return new ExclaimError(
    "IMPORT_MISMATCH",
    `the source has ${rows} rows, and ${position} of this import are behind: it is another source; give it an id of its own`,
  );
}
