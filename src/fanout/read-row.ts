import { importMessageId, rowKeyOf } from "../ledger/import-message-id.ts";
import type { ImportedRow, ImportReject } from "../ledger/imports.ts";
import type { OutgoingMessage } from "../outbox/target.ts";
import type { StandardAnswer } from "../standard-schema.ts";
import type { FanOutOptions } from "./fan-out-options.ts";
import { issuesText } from "./issues-text.ts";
import { RejectedRow } from "./rejected-row.ts";
import { storable } from "./storable.ts";

const MAX_KEY_LENGTH = 1_000;
/** BullMQ shows it as the job's name, RabbitMQ as the message's type. */
const TOPIC = "import";

/** What `String()` makes of a field that is not there: without this, all such rows but one would be duplicates. */
const TEXT_OF_NOTHING = ["undefined", "null", "NaN", "[object Object]"];

/** A row to be recorded, and its message. */
export interface ReadRow {
  readonly row: ImportedRow;
  readonly message: OutgoingMessage;
}

/** What a source yielded, as a message or as the reason why it is none. Throws nothing: what the user's functions throw rejects the row. */
export type RowReader = (value: unknown, line: number) => ReadRow | ImportReject | Promise<ReadRow | ImportReject>;

export function createRowReader<R, V>(
  importId: string,
  { key, message, validate }: Pick<FanOutOptions<R, V>, "key" | "message" | "validate">,
): RowReader {
  const idStart = importMessageId({ importId, rowKey: "" });
  const toMessage = (value: V, line: number): ReadRow | ImportReject => {
    const name = caught("key()", () => keyText(key(value)));
    if (typeof name !== "string") return rejected(line, name.reason);
    const payload = message === undefined ? value : caught("message()", () => message(value));
    if (payload instanceof Refused) return rejected(line, payload.reason, name);
    if (payload === undefined) return rejected(line, "message() made nothing of it", name);
    const rowKey = rowKeyOf(name);
    const row = { rowKey, key: rowKey === name ? null : name.toWellFormed(), line };
    return { row, message: { id: idStart + rowKey, topic: TOPIC, payload } };
  };
  const checked = checkOf(validate);
  return (value, line) => {
    if (value instanceof RejectedRow) return rejected(line, value.reason);
    if (checked === undefined) return toMessage(value as V, line);
    // What a row is called is worth knowing also where it cannot be used. It was not validated, so key() may well throw.
    const refuse = (reason: string): ImportReject => {
      const name = caught("key()", () => keyText(key(value as V)));
      return rejected(line, reason, typeof name === "string" ? name : null);
    };
    const answer = caught("validate", () => checked(value as R));
    if (!isPromise(answer)) return answer instanceof Refused ? refuse(answer.reason) : toMessage(answer.value, line);
    return answer.then(
      (later) => (later instanceof Refused ? refuse(later.reason) : toMessage(later.value, line)),
      (error: unknown) => refuse(thrown("validate", error)),
    );
  };
}

class Refused {
  readonly reason: string;

  constructor(reason: string) {
    this.reason = reason;
  }
}

type Verdict<V> = { readonly value: V } | Refused;

function checkOf<R, V>(validate: FanOutOptions<R, V>["validate"]): ((row: R) => Verdict<V> | Promise<Verdict<V>>) | undefined {
  if (validate === undefined) return undefined;
  if ("~standard" in validate) {
    const read = (answer: StandardAnswer<V>, row: R): Verdict<V> =>
      answer.issues === undefined ? answer : new Refused(issuesText(answer.issues, row));
    return (row) => {
      const answer = validate["~standard"].validate(row);
      return isPromise(answer) ? answer.then((later) => read(later, row)) : read(answer, row);
    };
  }
  // Without a schema V is R: what is not transformed is used as it is.
  const read = (reason: unknown, row: R): Verdict<V> =>
    reason === undefined ? { value: row as unknown as V } : new Refused(String(reason) || "validate refused it");
  return (row) => {
    const answer: unknown = validate(row);
    return isPromise(answer) ? answer.then((later) => read(later, row)) : read(answer, row);
  };
}

/** The key as text, or why it is none. */
function keyText(key: unknown): string | Refused {
  if (key === undefined || key === null || key === "") return new Refused("it has no key");
  if (typeof key === "number" && (!Number.isFinite(key) || Object.is(key, -0)))
    return new Refused("its key is no usable number");
  if (typeof key !== "string" && typeof key !== "number" && typeof key !== "bigint") {
    return new Refused(`its key is ${typeof key === "object" ? "an object" : `a ${typeof key}`}, not a text or a number`);
  }
  const text = String(key);
  if (TEXT_OF_NOTHING.includes(text)) return new Refused(`its key is "${text}", the text of a missing value`);
  if (text.length > MAX_KEY_LENGTH) return new Refused(`its key is longer than ${MAX_KEY_LENGTH} characters`);
  if (text.includes("\0")) return new Refused("its key has a NUL character in it");
  return text;
}

function rejected(line: number, reason: string, key: string | null = null): ImportReject {
  return { line, key: key?.toWellFormed() ?? null, code: "ROW_INVALID", reason: storable(reason) };
}

function caught<T>(what: string, call: () => T): T | Refused {
  try {
    return call();
  } catch (error) {
    return new Refused(thrown(what, error));
  }
}

/** Not its message, which may repeat values of the row. */
function thrown(what: string, error: unknown): string {
  return `${what} threw ${error instanceof Error ? error.name : "something that is no Error"}`;
}

export function isPromise<T>(value: T | Promise<T>): value is Promise<T> {
  return typeof value === "object" && value !== null && "then" in value && typeof value.then === "function";
}
