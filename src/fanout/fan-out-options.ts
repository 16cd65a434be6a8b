import type { Database } from "../ledger/database.ts";
import type { TargetOptions, TargetSource } from "../outbox/target-of.ts";
import type { StandardSchema } from "../standard-schema.ts";
import type { RejectedRow } from "./rejected-row.ts";

/** Where rows come from. A source of a file (`csvRows`, `ndjsonRows`) yields what it could not read as a `RejectedRow`, in its place. */
export type RowSource<R> = Iterable<R | RejectedRow> | AsyncIterable<R | RejectedRow>;

/** What `validate` may answer, beside a Standard Schema: nothing wrong, or why the row cannot be used. */
export type RowCheck<R> = (row: R) => string | undefined | Promise<string | undefined>;

export interface FanOutOptions<R, V = R> extends TargetOptions {
  /** A `pg.Pool`: the import and its rows are remembered there, beside the ledger. The caller owns it. */
  readonly database: Database;
  /** The schema of the ledger. @default "exclaim" */
  readonly schema?: string;
  /**
   * The import's id: 1 to 64 letters, digits, `_`, `.` and `-`. Known already: the import goes on where it was, and nothing is doubled.
   * @default random
   */
  readonly id?: string | undefined;
  /** A BullMQ `Queue`, an amqplib confirm channel together with `queue` or `exchange`, a target of one's own, or a function. */
  readonly to: TargetSource;
  /** What the row is called, the same whenever it is read: an employee's number. Empty or missing: the row is rejected. */
  readonly key: (row: V) => string | number | bigint;
  /** The payload of the row's message. @default the row itself */
  readonly message?: (row: V) => unknown;
  /** Whether a row can be used; a schema also says what is made of it. @default every row can */
  readonly validate?: StandardSchema<V> | RowCheck<R>;
  /** How many rows may be rejected before the import stops with TOO_MANY_REJECTED. @default any number */
  readonly maxRejected?: number;
  /** While so many messages wait in the queue, no more are published. @default no bound */
  readonly maxBacklog?: number;
  /** Messages published at once, 1 to 10,000. @default what suits the broker: 200 for BullMQ, 500 for RabbitMQ */
  readonly chunkSize?: number;
  /** For people: the name of the file. @default "rows" */
  readonly source?: string | undefined;
  /** Tells one source from another: an import goes on only with the one it began with. @default not compared */
  readonly fingerprint?: string | undefined;
  /**
   * What whoever resumes the import needs to know, kept with it and answered by `imports.get`: plain data without secrets.
   * @default none, and resuming keeps what is there
   */
  readonly settings?: Readonly<Record<string, unknown>>;
  /** Stops the import at the end of a chunk. */
  readonly signal?: AbortSignal | undefined;
  /** Told after every chunk. What it throws is dropped. */
  readonly onProgress?: (progress: FanOutProgress) => void;
}

/** How far this run has come; counts are of the whole import. */
export interface FanOutProgress {
  readonly id: string;
  /** Rows of the source that are behind, those of earlier runs included. */
  readonly rows: number;
  /** Messages the broker took in this run. */
  readonly published: number;
  readonly rejected: number;
  readonly duplicated: number;
  /** The broker's backlog holds the import up at this moment. */
  readonly isHeldUp: boolean;
}

/**
 * How a run ended.
 * - published: every row is with the broker or recorded as rejected
 * - stopped: the signal was aborted
 * - cancelled: somebody cancelled the import
 * - superseded: a newer run of the same import is under way
 */
export interface FanOutResult extends Omit<FanOutProgress, "isHeldUp"> {
  readonly status: "published" | "stopped" | "cancelled" | "superseded";
  /** It went on with an import that was there before. */
  readonly resumed: boolean;
}
