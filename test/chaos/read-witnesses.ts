import type pg from "pg";
import type { ClockMarks } from "./clock-marks.ts";
import { type HistoryLog, monotonicMs, type Unstamped } from "./history-log.ts";

const AT = "extract(epoch from at)::float8 * 1000 as at_ms";

/** Each selects events of one kind, whose columns are called as the events' fields are. */
const WITNESSES: readonly (readonly [what: Unstamped["what"], sql: string])[] = [
  ["owner", `select n::int, resource, was, became, ${AT} from owner_log order by n`],
  ["token", `select n::int, resource, claimant, token::int, status, holder, attempt, ${AT} from token_log order by n`],
  ["wrote", `select n::int, resource, claimant, token::int, completes, ${AT} from fenced_writes order by n`],
  ["final-row", "select 'voucher_item:' || id as resource, user_id as owner from voucher_item order by id"],
  [
    "final-claim",
    "select claimant, 'voucher_item:' || resource_id as resource, token::int, status from exclaim.claims order by claimant",
  ],
];

/** Writes down what the database's own witnesses saw, and what it holds at the end. Returns how many events there were of each kind. */
export async function readWitnesses(
  database: pg.Pool,
  clock: ClockMarks,
  log: HistoryLog,
): Promise<ReadonlyMap<Unstamped["what"], number>> {
  const counts = new Map<Unstamped["what"], number>();
  for (const [what, sql] of WITNESSES) {
    const { rows } = await database.query(sql);
    counts.set(what, rows.length);
    for (const { at_ms: atMs, holder, attempt, ...event } of rows) {
      // A lease has no holder once it is shared, and no attempt of a row.
      const known = { ...(holder == null ? {} : { holder }), ...(attempt == null ? {} : { attempt }) };
      log.write({ what, ...event, ...known } as Unstamped, atMs === undefined ? monotonicMs() : clock.monotonicOf(atMs));
    }
  }
  return counts;
}
