import type { Command } from "commander";
import type { Cli } from "../cli.ts";
import type { CliDeps } from "../cli-deps.ts";
import { addDatabaseOptions, DATABASE_HELP, type DatabaseFlags } from "../connection-flags.ts";
import { withDatabase } from "../connections.ts";
import { EXIT } from "../exit-codes.ts";
import { printable, writeJson, writeOut } from "../output.ts";
import { type ListedClaim, parseScope, readClaims } from "./read-claims.ts";

export interface ClaimsShowOptions extends DatabaseFlags {
  readonly scope?: string;
  readonly json?: boolean;
}

export interface ClaimName {
  readonly pool: string;
  readonly claimant: string;
}

/** A claimant has a claim a scope: of more than this, the newest. */
const MAX_SCOPES = 100;

export function addClaimsShow(claims: Command, cli: Cli): void {
  addDatabaseOptions(claims.command("show"))
    .description("show what a claimant has of a pool")
    .argument("<pool>", "the table: voucher_item, or public.voucher_item")
    .argument("<claimant>")
    .option("--scope <json>", `of this scope alone: '{"campaign_id": 42}', '{}' for none (default: of every scope)`)
    .option("--json", "print a JSON object a line, one for each claim")
    .addHelpText(
      "after",
      `\nExit code 1: the claimant has none.\n\nExample:\n  exclaim claims show voucher_item 4711\n${DATABASE_HELP}`,
    )
    .action((pool: string, claimant: string, options: ClaimsShowOptions) =>
      cli.run(() => runClaimsShow({ pool, claimant }, options, cli.deps)),
    );
}

/** Prints a claimant's claims of a pool; 1 when there is none. What a handler returned is not printed: it may be the voucher's code. */
export async function runClaimsShow(name: ClaimName, options: ClaimsShowOptions, deps: CliDeps): Promise<number> {
  const scope = parseScope(options.scope);
  const claims = await withDatabase(options, deps, (database) => readClaims(database, { ...name, scope, limit: MAX_SCOPES }));
  if (claims.length === 0) {
    deps.stderr.write(`exclaim: ${printable(name.claimant)} has no claim in ${printable(name.pool)}\n`);
    return EXIT.no;
  }
  for (const claim of claims) {
    const isRead = options.json ? await writeJson(deps.stdout, claim) : await writeOut(deps.stdout, describe(claim));
    if (!isRead) break;
  }
  return EXIT.done;
}

function describe(claim: ListedClaim): string {
  const lease = claim.leaseMs > 0 ? `held for another ${(claim.leaseMs / 1_000).toFixed(1)} s` : "over";
  const lines = {
    pool: claim.pool,
    scope: JSON.stringify(claim.scope),
    claimant: claim.claimant,
    row: claim.resourceId ?? "none: it went back to the pool",
    status: claim.status,
    ...(claim.status === "held" ? { lease } : {}),
    token: claim.token,
    attempt: String(claim.attempt),
    message: claim.messageId ?? "unknown",
    "claimed at": claim.claimedAt,
    ...(claim.endedAt === null ? {} : { "ended at": claim.endedAt }),
  };
  return `${Object.entries(lines)
    .map(([label, value]) => `${label.padEnd(12)}${printable(value)}\n`)
    .join("")}\n`;
}
