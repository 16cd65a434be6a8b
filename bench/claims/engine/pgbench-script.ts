import type { Recording, SentStatement } from "./record-statements.ts";

/**
 * A pgbench script whose transactions send what the engine sends: a claim for as many new users as it puts into one batch, and the
 * completion of what that claimed.
 * Texts are the engine's own, but for two things. The claim's last SELECT is aggregated, so that pgbench can keep the tokens and ids that
 * the completion needs. And claimants and their holders are numbered by the server, since pgbench cannot write arrays.
 * Variables that the caller defines: `first`, the first user of the run; `perClient`, the users of one client; `n` 0; `last_id`, the id
 * behind which to begin.
 */
export function pgbenchScript({ claim, complete, batch }: Recording): string {
  return `\\set base :first + :client_id * :perClient + :n
\\set n :n + ${batch}
${keepingClaims(withValues(claim.text, claimValues(claim, batch)), tokenColumn(claim))}
\\gset
${withValues(complete.text, completeValues(complete, batch))};
`;
}

/** `$2` claimants, `$3` holders, `$6` the id to begin behind; arrays, or plain values when they are for one alone. */
function claimValues({ values }: SentStatement, batch: number): readonly string[] {
  const isLone = !Array.isArray(values[1]);
  const numbered = (prefix: string): string =>
    isLone
      ? `('${prefix}' || :base::bigint)`
      : `array(select '${prefix}' || (:base::bigint + i) from generate_series(0, ${batch - 1}) i)`;
  return values.map((value, index) => {
    if (index === 1) return numbered("");
    if (index === 2) return numbered("pgbench-holder-of-a-claim-");
    if (index === 5 && typeof value === "string") return ":last_id";
    return literal(value);
  });
}

/** `$3` claimants, `$4` tokens, `$5` resource ids, as the claim has returned them. */
function completeValues({ values }: SentStatement, batch: number): readonly string[] {
  const returned: Readonly<Record<number, string>> = { 2: ":claimants", 3: ":tokens", 4: ":resource_ids" };
  return values.map((value, index) => returned[index] ?? `array_fill(${literal(firstOf(value))}::text, array[${batch}])`);
}

/** As a CTE beside the others: one that changes data may stand at the top alone. Ids and owners are columns of the user's table. */
function keepingClaims(text: string, token: string): string {
  const start = lastSelect(text);
  return `${text.slice(0, start).trimEnd()},
answer as materialized (
${text.slice(start)}
)
select array_agg(user_id)::text as claimants, array_agg("${token}")::text as tokens, array_agg(id)::text as resource_ids,
  max(id) as last_id
from answer`;
}

function tokenColumn({ columns }: SentStatement): string {
  const [token, ...others] = columns.filter((name) => /\btoken$/.test(name));
  if (token === undefined || others.length > 0) throw new Error(`which column has the token? ${columns.join(", ")}`);
  return token;
}

/** Where the SELECT begins that stands in no parentheses. The texts have no parenthesis in a literal that is not closed in it. */
function lastSelect(text: string): number {
  let depth = 0;
  for (const { 0: found, index } of text.matchAll(/[()]|\bselect\b/g)) {
    if (found === "(") depth += 1;
    else if (found === ")") depth -= 1;
    else if (depth === 0) return index;
  }
  throw new Error("the claim has no SELECT of its own");
}

function withValues(text: string, values: readonly string[]): string {
  return text.replaceAll(/\$(\d+)/g, (_, number: string) => {
    const value = values[Number(number) - 1];
    if (value === undefined) throw new Error(`the statement has no value for $${number}`);
    return value;
  });
}

function firstOf(value: unknown): unknown {
  return Array.isArray(value) ? value[0] : value;
}

function literal(value: unknown): string {
  if (Array.isArray(value)) return `array[${value.map(literal).join(", ")}]`;
  if (typeof value === "string") return `'${value.replaceAll("'", "''")}'`;
  if (value === null || typeof value === "number" || typeof value === "boolean") return String(value);
  throw new Error(`a value that cannot be written down: ${String(value)}`);
}
