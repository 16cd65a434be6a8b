import { databaseError } from "../../ledger/database-errors.ts";
import { quoteIdentifier } from "../../ledger/quote.ts";
import type { OpenDatabase } from "../connections.ts";
import { differingSettings, type ImportSettings, ownSettings } from "./import-settings.ts";

interface FoundImport {
  readonly id: string;
  readonly settings: Readonly<Record<string, unknown>> | null;
}

/**
 * The id of the newest import of the same file, begun with the same settings, that can be gone on with; among the file's 20 newest. None of
 * their rows is counted. Throws DATABASE_UNREACHABLE, SCHEMA_OUTDATED.
 */
export async function latestUnfinished({ pool, schema }: OpenDatabase, given: ImportSettings): Promise<string | undefined> {
  // Input: $1 the file's absolute path. Output: id, settings; the newest first. Reads alone.
  const text = `
    select id, settings from ${quoteIdentifier(schema)}.imports
    where source = $1 and status in ('running', 'stopped', 'cancelled', 'failed')
    order by created_at desc, id limit 20`;
  const { rows } = await pool.query<FoundImport>(text, [given.file]).catch((error: unknown) => {
    throw databaseError(error, "imports could not be read");
  });
  return rows.find(({ settings }) => {
    const begun = ownSettings(settings ?? undefined);
    return begun !== undefined && differingSettings(begun, given).length === 0;
  })?.id;
}
