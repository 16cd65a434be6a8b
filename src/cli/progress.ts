/** Where progress is shown. */
export interface ProgressStream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

/** Lines that stay are this far apart, so that a log file holds a few and not hundreds. */
const LINE_EVERY_MS = 1_500;

/** Tells how far a program is: on a terminal in one line that is written anew, elsewhere in a line now and then. */
export class Progress {
  readonly #stream: ProgressStream;
  readonly #lineEveryMs: number;
  #shown = "";
  #writtenAt = -Infinity;

  constructor(stream: ProgressStream, lineEveryMs = LINE_EVERY_MS) {
    this.#stream = stream;
    this.#lineEveryMs = lineEveryMs;
  }

  /** Shows the state of what is going on; the next call replaces it. */
  update(text: string): void {
    if (this.#stream.isTTY) {
      this.#rewrite(text);
    } else if (text !== this.#shown && performance.now() - this.#writtenAt >= this.#lineEveryMs) {
      this.#writeLine(text);
    }
  }

  /** Writes a line that stays. */
  note(text: string): void {
    if (this.#stream.isTTY) this.#rewrite("");
    this.#writeLine(text);
    this.#shown = "";
  }

  /** Takes the changing line away. */
  clear(): void {
    if (this.#stream.isTTY && this.#shown !== "") this.#rewrite("");
  }

  #rewrite(text: string): void {
    this.#shown = text.slice(0, (this.#stream.columns ?? 80) - 1);
    this.#stream.write(`\r\u001b[K${this.#shown}`);
  }

  #writeLine(text: string): void {
    this.#shown = text;
    this.#writtenAt = performance.now();
    this.#stream.write(`${text}\n`);
  }
}
