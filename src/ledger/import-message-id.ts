import { createHash } from "node:crypto";

/** An import and one of its rows, as a message id holds them. */
export interface ImportRowRef {
  readonly importId: string;
  /** The row's key, or its digest where a broker's id cannot hold the key. */
  readonly rowKey: string;
}

const IMPORT_ID = /^[A-Za-z0-9_.-]{1,64}$/;
/** What every broker takes in an id, and what cannot be mistaken for a digest or for a part of the import's id. */
const PLAIN_KEY = /^[A-Za-z0-9_.@+=][A-Za-z0-9_.@+=-]{0,119}$/;
const MESSAGE_ID = /^imp-((?:[A-Za-z0-9_.]|--)+)-([A-Za-z0-9_.@+=~][A-Za-z0-9_.@+=-]*)$/;

/** Whether an import may be called so: 1 to 64 letters, digits, `_`, `.` and `-`, and a hyphen at neither end. */
export function isImportId(id: unknown): id is string {
  return typeof id === "string" && IMPORT_ID.test(id) && !id.startsWith("-") && !id.endsWith("-");
}

/** The key as a message id can hold it: itself, or `~` and its SHA-256. Two keys never become one. */
export function rowKeyOf(key: string): string {
  return PLAIN_KEY.test(key) ? key : `~${createHash("sha256").update(key, "utf16le").digest("base64url")}`;
}

/**
 * The id of a row's message: the same whenever the row is read, so that publishing it again changes nothing.
 * Shape: `imp-{import}-{row key}`, a hyphen of the import's id doubled; at most 255 bytes, and no colon, which BullMQ refuses.
 */
export function importMessageId({ importId, rowKey }: ImportRowRef): string {
  return `imp-${importId.replaceAll("-", "--")}-${rowKey}`;
}

/** The row a message is of, or undefined for a message of no import. */
export function importRowOf(messageId: string): ImportRowRef | undefined {
  const [, importId, rowKey] = MESSAGE_ID.exec(messageId) ?? [];
  if (importId === undefined || rowKey === undefined) return undefined;
  return { importId: importId.replaceAll("--", "-"), rowKey };
}
