import type { Command } from "commander";
import type { Cli } from "../cli.ts";
import type { CliDeps } from "../cli-deps.ts";
import { confirmText } from "../confirm-text.ts";
import { addDatabaseOptions, DATABASE_HELP, type DatabaseFlags } from "../connection-flags.ts";
import { type OpenDatabase, withDatabase } from "../connections.ts";
import { EXIT, UsageError } from "../exit-codes.ts";
import { printable, writeJson, writeOut } from "../output.ts";
import { type ListedClaim, parseScope, readClaims } from "./read-claims.ts";
import { isNamed, type ReleasedPool, releaseClaim } from "./release-claim.ts";
import type { ClaimName } from "./show.ts";

export interface ClaimsReleaseOptions extends DatabaseFlags, ReleasedPool {
  readonly scope?: string;
  readonly yes?: boolean;
  readonly force?: boolean;
  readonly json?: boolean;
}

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
      return finish(unnamed(listed, options), listed);
    }
    if (!options.yes) {
      const question = `${listed.pool}: row ${listed.resourceId} of ${listed.claimant} (${listed.status}) goes back to the pool.`;
      if (!(await confirmText(question, listed.claimant, deps))) return finish("not confirmed", listed);
    }
    return finish(await releaseClaim(database, listed, options), listed);
  });

  async function finish(reason: string | undefined, claim?: ListedClaim): Promise<number> {
    const isReleased = reason === undefined;
    if (options.json) await writeJson(deps.stdout, { released: isReleased, reason: reason ?? null, claim: claim ?? null });
    const who = `${printable(name.claimant)} in ${printable(name.pool)}`;
    if (!isReleased) deps.stderr.write(`exclaim: ${who}: not released: ${reason}\n`);
    else if (!options.json) {
      const row = claim?.resourceId ?? null;
      const what = row === null ? "its row had been given back before" : `released row ${printable(row)}`;
      await writeOut(deps.stdout, `${who}: ${what}\n`);
    }
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

function unnamed({ claimant, resourceId }: ListedClaim, { ownerColumn }: ClaimsReleaseOptions): string {
  return `row ${resourceId} does not have ${claimant} in ${ownerColumn}: is it the owner column? --force goes on`;
}
