import { type Command, Option } from "commander";
import type { Cli } from "../cli.ts";
import type { CliDeps } from "../cli-deps.ts";
import { addDatabaseOptions, DATABASE_HELP, type DatabaseFlags, wholeNumber } from "../connection-flags.ts";
import { withDatabase } from "../connections.ts";
import { EXIT } from "../exit-codes.ts";
import { tableText, writeJson, writeOut } from "../output.ts";
import { type ListedClaim, readClaims } from "./read-claims.ts";

export interface ClaimsListOptions extends DatabaseFlags {
  readonly pool?: string;
  readonly status?: string;
  readonly claimant?: string;
  readonly limit: number;
  readonly json?: boolean;
}

export function addClaimsList(claims: Command, cli: Cli): void {
  addDatabaseOptions(claims.command("list"))
    .description("list claims, the newest first")
    .option("--pool <table>", "of this table alone: voucher_item, or public.voucher_item")
    .addOption(new Option("--status <status>", "in this state alone").choices(["held", "completed", "failed", "released"]))
    .option("--claimant <claimant>", "of this claimant alone")
    .option("--limit <n>", "at most so many", wholeNumber(1, 100_000), 100)
    .option("--json", "print a JSON object a line, one for each claim")
    .addHelpText(
      "after",
      `
Examples:
  exclaim claims list --pool voucher_item --status held
  exclaim claims list --json | jq -r .claimant
${DATABASE_HELP}`,
    )
    .action((options: ClaimsListOptions) => cli.run(() => runClaimsList(options, cli.deps)));
}

/** Prints claims. None at all is an answer too: 0. */
export async function runClaimsList(options: ClaimsListOptions, deps: CliDeps): Promise<number> {
  const claims = await withDatabase(options, deps, (database) => readClaims(database, options));
  if (options.json) {
    for (const claim of claims) if (!(await writeJson(deps.stdout, claim))) break;
    return EXIT.done;
  }
  await writeOut(deps.stdout, tableText(COLUMNS, claims.map(cellsOf)));
  if (claims.length === options.limit) deps.stderr.write(`exclaim: there may be more than these ${options.limit}: --limit\n`);
  return EXIT.done;
}

const COLUMNS = ["POOL", "SCOPE", "CLAIMANT", "ROW", "STATUS", "TOKEN", "ATTEMPT", "LEASE", "CLAIMED AT"];

function cellsOf(claim: ListedClaim): string[] {
  const scope = Object.entries(claim.scope).map(([column, value]) => `${column}=${value}`);
  return [
    claim.pool,
    scope.join(",") || "-",
    claim.claimant,
    claim.resourceId ?? "-",
    claim.status,
    claim.token,
    String(claim.attempt),
    claim.status === "held" ? (claim.leaseMs > 0 ? `${(claim.leaseMs / 1_000).toFixed(1)} s` : "over") : "-",
    claim.claimedAt,
  ];
}
