import { createExclaim } from "exclaim";
import pg from "pg";
import { playUsers } from "./play-users.ts";

/** What the engine sent: a text with its values. */
export interface SentStatement {
  readonly text: string;
  readonly values: readonly unknown[];
  /** Columns of its answer. */
  readonly columns: readonly string[];
}

/** How the engine works at some number of claimants. */
export interface Recording {
  /** Of the statements that claim, and of those that complete, one of the size in which half of the pairs or more travelled. */
  readonly claim: SentStatement;
  readonly complete: SentStatement;
  /** Claims in that statement. */
  readonly batch: number;
  /** As many statements were on their way at once. */
  readonly inFlight: number;
  /** Claimed meanwhile, by the users from 1 on. */
  readonly users: number;
}

const RECORDED_BATCHES = 20;

/** Lets the engine work for a while, and writes down what it sends. The texts are its own, at this version. */
export async function recordStatements(
  place: { readonly databaseUrl: string; readonly table: string; readonly ledgerSchema: string },
  concurrency: number,
): Promise<Recording> {
  const database = new pg.Pool({ connectionString: place.databaseUrl, max: 20 });
  const sent: SentStatement[] = [];
  let [onTheirWay, inFlight] = [0, 0];
  database.on("connect", (client) => {
    const query = client.query.bind(client) as (statement: pg.QueryConfig<unknown[]>) => Promise<pg.QueryResult>;
    const recorded = async (statement: pg.QueryConfig<unknown[]>): Promise<pg.QueryResult> => {
      onTheirWay += 1;
      inFlight = Math.max(inFlight, onTheirWay);
      try {
        const answer = await query(statement);
        const columns = answer.fields.map(({ name }) => name);
        sent.push({ text: statement.text, values: statement.values ?? [], columns });
        return answer;
      } finally {
        onTheirWay -= 1;
      }
    };
    Object.defineProperty(client, "query", { value: recorded });
  });
  const exclaim = createExclaim({ database, schema: place.ledgerSchema });
  const vouchers = exclaim.pool<{ code: string }>({ table: place.table, ownerColumn: "user_id" });
  const users = concurrency * RECORDED_BATCHES;
  try {
    const serve = async (user: number): Promise<void> => {
      await vouchers.claim({ claimant: String(user) }, async (claim) => ({ code: claim.row.code }));
    };
    await playUsers(serve, { firstUser: 1, users, concurrency });
  } finally {
    await exclaim.close();
    await database.end();
  }
  const claim = typical(sent.filter(({ text }) => /\binsert into \S+\.claims\b/.test(text)));
  const complete = typical(sent.filter(({ text }) => /\bset status = 'completed'/.test(text)));
  return { claim, complete, batch: batchOf(claim), inFlight, users };
}

/** The last one of the batch size that is the median, each statement counted as often as it has members. */
function typical(statements: readonly SentStatement[]): SentStatement {
  const sizes = statements.flatMap((statement) => Array<number>(batchOf(statement)).fill(batchOf(statement)));
  const size = sizes.sort((a, b) => a - b)[Math.floor(sizes.length / 2)];
  const chosen = statements.findLast((statement) => batchOf(statement) === size);
  if (chosen === undefined) throw new Error("the engine sent no statement that claims, or none that completes");
  return chosen;
}

/** The second value of a claim's statement are its claimants, of a completion's the claims' scopes. */
function batchOf({ values }: SentStatement): number {
  const [, members] = values;
  return Array.isArray(members) ? members.length : 1;
}
