import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { locateBinaries } from "../../../test/support/locate-binaries.ts";
import { postgres } from "../../../test/support/services/postgres.ts";
import type { BenchCase, OpenCase, Round } from "../bench-case.ts";
import { assertLedgerAgrees, assertOneRowEach } from "../voucher-table.ts";
import { type EngineCaseSettings, openCaseTables } from "./claimer-case.ts";
import { pgbenchScript } from "./pgbench-script.ts";
import { recordStatements } from "./record-statements.ts";

const run = promisify(execFile);

/**
 * The limit of the engine: pgbench sending the engine's statements, in batches of the engine's size, with as many claimants under way as
 * the engine has, though never more statements than it.
 */
export function pgbenchCase(settings: EngineCaseSettings): BenchCase {
  return { name: settings.name, open: () => openPgbenchCase(settings) };
}

async function openPgbenchCase(settings: EngineCaseSettings): Promise<OpenCase> {
  const { database, concurrency, pairs } = settings;
  const { stage, table, ledgerSchema } = await openCaseTables(settings, true);
  const program = join(findPgbench(), "pgbench");
  const recording = await recordStatements({ databaseUrl: database.url, table, ledgerSchema }, concurrency);
  const { batch } = recording;
  const clients = Math.max(1, Math.min(recording.inFlight, Math.round(concurrency / batch)));
  const transactions = Math.max(1, Math.round(pairs / batch / clients));

  const folder = mkdtempSync(join(tmpdir(), "exclaim-pgbench-"));
  stage.atEnd(() => rmSync(folder, { recursive: true, force: true }));
  const script = join(folder, "pairs.sql");
  await writeFile(script, pgbenchScript(recording));

  let users = recording.users;
  return {
    async round(): Promise<Round> {
      const variables = { first: users + 1, perClient: transactions * batch, n: 0, last_id: users };
      const { stdout } = await run(program, [
        ...["--no-vacuum", "--protocol=prepared", `--file=${script}`, `--client=${clients}`, `--transactions=${transactions}`],
        ...Object.entries(variables).map(([name, value]) => `--define=${name}=${value}`),
        database.url,
      ]);
      const done = transactions * clients * batch;
      users += done;
      return { done, ms: (transactions * clients * 1_000) / transactionsPerSecond(stdout) };
    },
    async verify() {
      await assertOneRowEach(database.pool, table, users);
      await assertLedgerAgrees(database.pool, table, ledgerSchema);
    },
    facts: async () => ({ "claims a statement": batch, clients }),
    close: () => stage.end(),
  };
}

/** Without the time that it took to connect. */
function transactionsPerSecond(report: string): number {
  const tps = Number(/^tps = ([\d.]+) \(without initial connection time\)/m.exec(report)?.[1]);
  if (!(tps > 0)) throw new Error(`pgbench told no rate:\n${report}`);
  return tps;
}

function findPgbench(): string {
  const folder = locateBinaries(["pgbench"], postgres.folders);
  if (folder === undefined) throw new Error("pgbench is not on this machine: it comes with PostgreSQL's client programs");
  return folder;
}
