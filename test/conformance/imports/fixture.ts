import { onTestFinished } from "vitest";
import type {
  ImportChunk,
  ImportOutcomes,
  ImportReject,
  ImportReportRow,
  ImportRun,
  ImportRuns,
  ImportStart,
  Imports,
  RowOutcome,
} from "../../../src/ledger/imports.ts";

export type EveryImports = Imports & ImportRuns & ImportOutcomes;

/** Imports that hold none yet. */
export interface ImportsFixture {
  readonly imports: EveryImports;
  /** Called once after each test, also a failed one. */
  close(): Promise<void>;
}

export type CreateImports = () => Promise<ImportsFixture>;

export const ID = "spring";

export const START: ImportStart = { id: ID, source: "employees.csv", target: "BullMQ queue voucher", fingerprint: undefined };

export function row(rowKey: string, line: number) {
  return { rowKey, key: null, line };
}

export function invalid(line: number): ImportReject {
  return { line, key: null, code: "ROW_INVALID", reason: "no name" };
}

export function refused(key: string, line: number): ImportReject {
  return { line, key, code: "MESSAGE_REFUSED", reason: "no queue" };
}

export function chunkOf({ run }: ImportRun, rows: ImportChunk["rows"] = [], rejects: ImportChunk["rejects"] = []): ImportChunk {
  return { id: ID, run, position: 0, rows, rejects };
}

export function endOf({ run }: ImportRun) {
  return { id: ID, run, position: 0, status: "published", reason: null } as const;
}

export function outcome(rowKey: string, rest: Pick<RowOutcome, "state"> & Partial<RowOutcome>): RowOutcome {
  return { importId: ID, rowKey, pool: "voucher_item", resourceId: null, code: null, reason: null, ...rest };
}

export async function rowsOf(imports: Imports, id = ID): Promise<readonly ImportReportRow[]> {
  const rows = [];
  for await (const each of imports.report(id)) rows.push(each);
  return rows;
}

/** Line, state and what was claimed. */
export async function linesOf(imports: Imports): Promise<readonly string[]> {
  return (await rowsOf(imports)).map(({ line, state, resourceId }) => [line, state, resourceId ?? ""].join(" ").trim());
}

export async function openImports(create: CreateImports): Promise<ImportsFixture> {
  const fixture = await create();
  onTestFinished(() => fixture.close());
  return fixture;
}
