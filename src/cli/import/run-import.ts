import { basename } from "node:path";
import { isExclaimError } from "../../errors.ts";
import { fanOut } from "../../fanout/fan-out.ts";
import type { FanOutResult } from "../../fanout/fan-out-options.ts";
import type { Imports } from "../../ledger/imports.ts";
import type { CliDeps } from "../cli-deps.ts";
import type { BrokerFlags } from "../connection-flags.ts";
import { type OpenDatabase, type OpenQueue, withQueue } from "../connections.ts";
import { EXIT, Interrupted, interruptCode, UsageError } from "../exit-codes.ts";
import { printable, writeJson, writeOut } from "../output.ts";
import { present } from "../present.ts";
import { fingerprintOf, type ImportRow, openFile } from "./import-file.ts";
import { count, ImportProgress } from "./import-progress.ts";
import { type ImportSettings, storedSettings } from "./import-settings.ts";
import { keyOf, payloadOf } from "./row-message.ts";

/** One run of an import. */
export interface ImportJob {
  readonly id: string;
  readonly settings: ImportSettings;
  readonly database: OpenDatabase;
  readonly imports: Imports;
  /** Addresses: they are not kept. */
  readonly flags: BrokerFlags;
  readonly json: boolean;
}

/** What `--json` prints: how the run ended. `error` is a stable code. */
export interface ImportAnswer extends Omit<Partial<FanOutResult>, "id" | "status"> {
  readonly id: string;
  readonly status: FanOutResult["status"] | "failed";
  readonly file: string;
  readonly durationMs: number;
  readonly error?: string;
}

/**
 * Publishes the rows of a file, and prints how it ended.
 * Returns 0: every row is with the broker; 1: some were rejected; 4: it did not come to its end; the signal's code.
 * Throws what `fanOut` throws, once what it means for the import is printed.
 */
export async function runImport(job: ImportJob, deps: CliDeps): Promise<number> {
  const { id, settings } = job;
  const startedAt = performance.now();
  const answer = (): Pick<ImportAnswer, "id" | "file" | "durationMs"> => ({
    id,
    file: settings.file,
    durationMs: Math.round(performance.now() - startedAt),
  });
  const { broker, queue, exchange, routingKey, prefix, attempts } = settings;
  const target = present({ broker, queue, exchange, routingKey, prefix, attempts });
  const flags = { ...job.flags, ...target };
  try {
    const result = await withQueue(flags, deps, (open) => publish(job, open, deps));
    if (job.json) await writeJson(deps.stdout, { ...result, ...answer() } satisfies ImportAnswer);
    else if (result.status === "published") await writeOut(deps.stdout, summaryOf(result));
    return tellEnd(result, job, deps);
  } catch (error) {
    const isBegun = !isExclaimError(error, "IMPORT_MISMATCH") && (await job.imports.get(id).catch(() => null)) !== null;
    if (job.json && !(error instanceof UsageError)) {
      const code = isExclaimError(error) ? error.code : error instanceof Interrupted ? "ABORTED" : "FAILED";
      await writeJson(deps.stdout, { ...answer(), status: "failed", error: code } satisfies ImportAnswer);
    }
    const more = isExclaimError(error, "TOO_MANY_REJECTED") ? " --max-rejected <a larger number>" : "";
    if (isBegun) deps.stderr.write(`exclaim: import ${id} did not come to its end; ${resumeHint(job)}${more}\n`);
    throw error;
  }
}

async function publish(job: ImportJob, { to, options, lost }: OpenQueue, deps: CliDeps): Promise<FanOutResult> {
  const { id, settings, database } = job;
  const fingerprint = await fingerprintOf(settings.file);
  const file = await openFile(settings);
  const progress = new ImportProgress(deps.stderr, file.size);
  progress.note(
    `import ${id}: ${printable(basename(settings.file))} to ${printable(settings.queue ?? settings.exchange ?? "")}`,
  );
  const { maxRejected, maxBacklog, chunk } = settings;
  try {
    const result = await fanOut<ImportRow>(file.rows, {
      database: database.pool,
      schema: database.schema,
      id,
      to,
      ...options,
      key: (row) => keyOf(row, settings),
      message: (row) => payloadOf(row, settings),
      source: settings.file,
      fingerprint,
      settings: storedSettings(settings),
      signal: AbortSignal.any([deps.signal, lost]),
      onProgress: (state) => progress.update(state, file.bytesRead()),
      ...present({ maxRejected, maxBacklog, chunkSize: chunk }),
    });
    if (result.status === "stopped" && !deps.signal.aborted) lost.throwIfAborted();
    return result;
  } finally {
    progress.clear();
    file.close();
  }
}

function tellEnd({ status, rejected }: FanOutResult, job: ImportJob, deps: CliDeps): number {
  const tell = (text: string) => deps.stderr.write(`exclaim: import ${job.id} ${text}\n`);
  switch (status) {
    case "published":
      return tellPublished(rejected, job, deps);
    case "stopped":
      tell(`stopped at the end of a chunk; ${resumeHint(job)}`);
      return interruptCode(deps.signal);
    case "cancelled":
      tell(`was cancelled; ${resumeHint(job)}`);
      return EXIT.incomplete;
    case "superseded":
      tell("goes on elsewhere: a newer run of it is under way");
      return EXIT.incomplete;
  }
}

/** Tells how many rows were rejected. 0: none; 1: some. */
export function tellPublished(rejected: number, job: Pick<ImportJob, "id" | "database">, { stderr }: CliDeps): number {
  if (rejected === 0) return EXIT.done;
  const report = `exclaim import report ${job.id} --state rejected${schemaFlag(job)}`;
  stderr.write(`exclaim: import ${job.id} rejected ${count(rejected)} rows: ${report}\n`);
  return EXIT.no;
}

function summaryOf({ id, rows, published, rejected, duplicated }: FanOutResult): string {
  const counts = [`${count(rows)} rows`, `${count(published)} published by this run`];
  if (rejected > 0) counts.push(`${count(rejected)} rejected`);
  if (duplicated > 0) counts.push(`${count(duplicated)} duplicated`);
  return `import ${id}: ${counts.join(", ")}\nexclaim import status ${id} says what becomes of them\n`;
}

function resumeHint(job: ImportJob): string {
  return `go on with: exclaim import resume ${job.id}${schemaFlag(job)}`;
}

function schemaFlag({ database }: Pick<ImportJob, "database">): string {
  return database.schema === "exclaim" ? "" : ` --schema ${database.schema}`;
}
