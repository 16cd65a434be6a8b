import type { RejectedRow } from "./rejected-row.ts";

/** What a file is read from: a Node stream, or anything that yields its bytes or its text piece by piece. */
export type FileInput = AsyncIterable<string | Uint8Array>;

/** A row and the line of the file that it begins in, from 1. */
export interface NumberedRow<R> {
  readonly line: number;
  readonly row: R | RejectedRow;
}

/** The rows of a file, one after the other. They can be read once. */
export interface FileRows<R> extends AsyncIterable<R | RejectedRow> {
  /** Of the file, from 1: where the row begins that was yielded last. */
  readonly line: number;
}

/**
 * Yields rows one by one that are read many at a time.
 * After: the input is closed once its rows are read or nobody reads on, also when nobody ever began to.
 */
export class NumberedRows<R> implements FileRows<R>, AsyncIterator<R | RejectedRow, undefined> {
  line = 0;
  readonly #input: FileInput;
  readonly #batches: AsyncIterator<readonly NumberedRow<R>[]>;
  #batch: readonly NumberedRow<R>[] = [];
  #at = 0;

  constructor(input: FileInput, batches: AsyncIterator<readonly NumberedRow<R>[]>) {
    this.#input = input;
    this.#batches = batches;
    hearErrors(input);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<R | RejectedRow, undefined>> {
    const next = this.#take();
    return next === undefined ? this.#read() : Promise.resolve({ done: false, value: next.row });
  }

  async return(): Promise<IteratorResult<R | RejectedRow, undefined>> {
    // A stream that is waited for ends at once this way; to return from the generator would wait for its next piece.
    if ("destroy" in this.#input && typeof this.#input.destroy === "function") this.#input.destroy();
    else await this.#batches.return?.();
    return { done: true, value: undefined };
  }

  #take(): NumberedRow<R> | undefined {
    const next = this.#batch[this.#at];
    if (next === undefined) return undefined;
    this.#at += 1;
    this.line = next.line;
    return next;
  }

  async #read(): Promise<IteratorResult<R | RejectedRow, undefined>> {
    for (;;) {
      const { done, value } = await this.#batches.next();
      if (done) return { done: true, value: undefined };
      this.#batch = value;
      this.#at = 0;
      const next = this.#take();
      if (next !== undefined) return { done: false, value: next.row };
    }
  }
}

/** A stream may break before it is read, a file that is not there does: whoever reads it is told, and no `error` event goes unheard. */
export function hearErrors(source: object): void {
  if ("on" in source && typeof source.on === "function") source.on("error", () => {});
}
