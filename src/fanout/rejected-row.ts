/** A row that its source could not read: yielded in the row's place, so that it is recorded and the others are imported. */
export class RejectedRow {
  /** Of the file, from 1, for who reads the source. An import numbers rows by its source's own `line`, or counts them. */
  readonly line: number;
  /** Why, for people. Without values of the row, which may be secrets. */
  readonly reason: string;

  constructor(line: number, reason: string) {
    this.line = line;
    this.reason = reason;
  }
}
