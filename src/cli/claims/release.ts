import { randomUUID } from "node:crypto";
import type { Command } from "commander";
import { systemClock } from "../../clock.ts";
import { ExclaimError } from "../../errors.ts";
import type { ClaimLookup, ClaimRef, EndAnswer, Ledger } from "../../ledger/ledger.ts";
import type { PoolDefinition } from "../../ledger/pool-definition.ts";
import { postgresLedger } from "../../ledger/postgres.ts";
import { parseTableName, quoteIdentifier } from "../../ledger/quote.ts";
import type { Cli } from "../cli.ts";
import type { CliDeps } from "../cli-deps.ts";
import { confirmText } from "../confirm-text.ts";
import { addDatabaseOptions, DATABASE_HELP, type DatabaseFlags } from "../connection-flags.ts";
import { type OpenDatabase, withDatabase } from "../connections.ts";
import { EXIT, UsageError } from "../exit-codes.ts";
import { printable, writeJson, writeOut } from "../output.ts";
import { type ListedClaim, parseScope, readClaims } from "./read-claims.ts";
import type { ClaimName } from "./show.ts";

export interface ClaimsReleaseOptions extends DatabaseFlags {
  /** False: the pool has none, `where` and `set` tell what is free. */
  readonly ownerColumn?: string | false;
  readonly idColumn?: string;
  readonly scope?: string;
  readonly yes?: boolean;
  readonly force?: boolean;
  readonly json?: boolean;
}

/** How long a completed claim is ours while it is taken up again to be released. */
const REOPENED_MS = 30_000;

export function addClaimsRelease(claims: Command, cli: Cli): void {
  addDatabaseOptions(claims.command("release"))
    .description("give a claimant's row back to its pool")
    .argument("<pool>", "the table: voucher_item, or public.voucher_item")
    .argument("<claimant>")
    .option("--owner-column <column>", "the column that names the owner, as in the pool's definition")
    .option("--no-owner-column", "the pool has no such column")
    .option("--id-column <column>", "the column that identifies a row (default: the primary key)")
    .option("--scope <json>", `the claim's scope: '{"campaign_id": 42}' (default: the only one the claimant has)`)
    .option("--yes", "do not ask")
    .option("--force", "also a claim that somebody works under at this moment, and a completed one")
    .option("--json", "print {released, reason, claim} as one JSON object")
    .addHelpText("after", HELP)
    .action((pool: string, claimant: string, options: ClaimsReleaseOptions) =>
      cli.run(() => runClaimsRelease({ pool, claimant }, options, cli.deps)),
    );
}

const HELP = `
The row is free again and somebody else may get it. Fenced: whoever worked under the claim cannot complete it any more.
  a claim under a live lease   refused without --force: its handler is at work
  a completed claim            refused without --force: its row was given out, and would be given out twice

Exit code 1: there is no such claim, or it was not released.

Example:
  exclaim claims release voucher_item 4711 --owner-column user_id
${DATABASE_HELP}`;

/** Releases a claim. 0: it is released, also when it was before; 1: it is not. */
export async function runClaimsRelease(name: ClaimName, options: ClaimsReleaseOptions, deps: CliDeps): Promise<number> {
  if (options.ownerColumn === undefined) {
    throw new UsageError("which column names the owner? --owner-column user_id, or --no-owner-column where there is none");
  }
  return withDatabase(options, deps, async (database) => {
    const listed = await onlyClaim(database, name, options);
    if (listed === undefined) return finish("there is no such claim");
    if (listed.status === "released") return finish(undefined, listed);
    const refusal = refusalOf(listed, options);
    if (refusal !== undefined) return finish(refusal, listed);
    if (!options.force && !(await isNamed(database, listed, options))) {
      return finish(`no row has ${listed.claimant} in ${options.ownerColumn}: is it the owner column? --force goes on`, listed);
    }
    if (!options.yes) {
      const question = `${listed.pool}: row ${listed.resourceId} of ${listed.claimant} (${listed.status}) goes back to the pool.`;
      if (!(await confirmText(question, listed.claimant, deps))) return finish("not confirmed", listed);
    }
    return finish(await release(database, listed, options), listed);
  });

  async function finish(reason: string | undefined, claim?: ListedClaim): Promise<number> {
    const isReleased = reason === undefined;
    if (options.json) await writeJson(deps.stdout, { released: isReleased, reason: reason ?? null, claim: claim ?? null });
    const who = `${printable(name.claimant)} in ${printable(name.pool)}`;
    if (!isReleased) deps.stderr.write(`exclaim: ${who}: not released: ${reason}\n`);
    else if (!options.json)
      await writeOut(deps.stdout, `${who}: released row ${printable(claim?.resourceId ?? "of earlier")}\n`);
    return isReleased ? EXIT.done : EXIT.no;
  }
}

async function onlyClaim(database: OpenDatabase, name: ClaimName, options: ClaimsReleaseOptions) {
  const found = await readClaims(database, { ...name, scope: parseScope(options.scope), limit: 2 });
  if (found.length > 1) {
    const [one, other] = found.map(({ pool, scope }) => `${pool} ${JSON.stringify(scope)}`);
    throw new UsageError(`there is more than one such claim (${one}, ${other}): name the whole table, and --scope`);
  }
  return found[0];
}

function refusalOf({ status, leaseMs }: ListedClaim, { force }: ClaimsReleaseOptions): string | undefined {
  if (force) return undefined;
  if (status === "completed") return "it is completed, and its row would be given out twice; --force does it all the same";
  if (status !== "held" || leaseMs === 0) return undefined;
  return `its handler is at work, for another ${Math.ceil(leaseMs / 1_000)} s at least; --force takes the row away from it`;
}

/**
 * Whether a row of the table names the claimant as its owner. By another column the ledger would call a row free that its table gives to
 * somebody.
 */
async function isNamed({ pool }: OpenDatabase, listed: ListedClaim, { ownerColumn }: ClaimsReleaseOptions): Promise<boolean> {
  if (typeof ownerColumn !== "string") return true;
  const { schema, table } = parseTableName(listed.pool);
  const from = schema === null ? quoteIdentifier(table) : `${quoteIdentifier(schema)}.${quoteIdentifier(table)}`;
  try {
    const { rowCount } = await pool.query(`select 1 from ${from} where ${quoteIdentifier(ownerColumn)}::text = $1 limit 1`, [
      listed.claimant,
    ]);
    return rowCount !== 0;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new ExclaimError("POOL_INVALID", `${listed.pool} could not be read: ${reason}`, { cause: error });
  }
}

/** Returns why it was not released. */
async function release(
  { pool: database, schema }: OpenDatabase,
  listed: ListedClaim,
  options: ClaimsReleaseOptions,
): Promise<string | undefined> {
  const ledger = postgresLedger({ database, schema, clock: systemClock });
  const pool = definitionOf(listed, options);
  const found = await ledger.find(pool, listed.scope, listed.claimant);
  const isAsSeen = found?.claim.token.toString() === listed.token && found.status === listed.status;
  if (found === null || !isAsSeen) return "it has changed meanwhile; look at it again";
  const claim = found.status === "completed" ? await reopen(ledger, pool, listed) : found.claim;
  if (claim === undefined) return "it has changed meanwhile; look at it again";
  const [answer = "lost"] = await ledger.release(pool, [claim], { wait: true });
  return refusalReason(answer);
}

/** A completed claim is nobody's to release: it is taken up once more, with the next token. */
async function reopen(
  ledger: Ledger & ClaimLookup,
  pool: PoolDefinition,
  { scope, claimant }: ListedClaim,
): Promise<ClaimRef | undefined> {
  const requests = [{ claimant, holder: randomUUID(), messageId: "exclaim claims release", pick: null }];
  const [answer] = await ledger.claim({ pool, scope, ttlMs: REOPENED_MS, rerun: true, requests });
  return answer?.status === "claimed" ? answer.claim : undefined;
}

function refusalReason(answer: EndAnswer): string | undefined {
  if (answer === "done") return undefined;
  if (answer === "lost") return "it has changed meanwhile; look at it again";
  if (answer === "busy") return "a transaction holds it at this moment; try again";
  return answer.refused.message;
}

/** The columns that `set` wrote are known from the claim; what they are given is of no concern to a release. `where`: no row is free. */
function definitionOf(listed: ListedClaim, { ownerColumn, idColumn }: ClaimsReleaseOptions): PoolDefinition {
  return {
    table: listed.pool,
    where: "false",
    ...(typeof ownerColumn === "string" ? { ownerColumn } : {}),
    ...(idColumn === undefined ? {} : { idColumn }),
    ...(listed.previous.length === 0 ? {} : { set: Object.fromEntries(listed.previous.map((column) => [column, null])) }),
  };
}
