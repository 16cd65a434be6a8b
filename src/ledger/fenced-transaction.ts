import { type Clock, pause } from "../clock.ts";
import { ExclaimError } from "../errors.ts";
import type { Connection, Query, QueryAnswer } from "./database.ts";
import { databaseError, databaseFault, isRecoverable, sqlState } from "./database-errors.ts";
import type { Fence } from "./fence.ts";
import type { Row, StoredResult, Transaction } from "./ledger.ts";
import { giveBack, type Statements } from "./run-statement.ts";
import { LIFE_SQL, type ServerLife } from "./server-life.ts";

/** How long, and how often, to ask what became of a COMMIT whose answer was lost. */
const COMMIT_INQUIRY_MS = 5_000;
const COMMIT_INQUIRY_PAUSE_MS = 100;

/** PostgreSQL's in_failed_sql_transaction: an earlier statement failed and nothing but a rollback is taken any more. */
const IN_FAILED_TRANSACTION = "25P02";

/** What a fenced transaction works with. */
export interface FencedTransactionPorts {
  readonly statements: Statements;
  readonly clock: Clock;
  /** The ledger's schema, quoted. */
  readonly schema: string;
  /** A transaction whose process does nothing with it for so long is ended by the server: it keeps its claim from everybody. */
  readonly idleTimeoutMs: number;
  /** Tells whoever sends messages that some were committed. Returns at once and never throws. */
  readonly ring: () => void;
  readonly life: ServerLife;
}

/**
 * Runs `work` in a transaction that commits only behind the fence, which holds from the first statement to COMMIT; with `completion`,
 * the same transaction ends what the fence is about.
 * Throws as `FencedTransactions.transact` says.
 */
export async function fencedTransaction<T>(
  ports: FencedTransactionPorts,
  fence: Fence,
  work: (tx: Transaction) => Promise<T>,
  completion?: (value: T) => StoredResult,
): Promise<T> {
  const life = await ports.life.known();
  const connection = await ports.statements.connect().catch((error: unknown) => {
    throw databaseError(error, "a fenced transaction could not start");
  });
  let transactionId: string;
  let value: T;
  let lostAnswer: unknown;
  let hasPublished: boolean;
  try {
    transactionId = await begin(ports, connection, fence);
    ({ value, hasPublished } = await underFence(ports, connection, fence, work));
    assertInside(connection, fence);
    if (completion !== undefined) await complete(ports, connection, fence, completion(value));
    lostAnswer = await commit(ports, connection, fence);
  } catch (error) {
    giveBack(connection, await rollBack(ports, connection));
    throw error;
  }
  // Before asking what became of the COMMIT: when many answers are lost at once, the asking needs the places of these connections.
  giveBack(connection, lostAnswer === undefined);
  if (lostAnswer !== undefined) await inquire(ports, fence, { id: transactionId, life }, lostAnswer);
  if (hasPublished) ports.ring();
  return value;
}

/** Opens the transaction behind the fence and returns its id, by which its fate can be asked from another connection. */
async function begin(ports: FencedTransactionPorts, connection: Connection, fence: Fence): Promise<string> {
  try {
    const idle = `set local idle_in_transaction_session_timeout = ${Math.ceil(ports.idleTimeoutMs)}`;
    await ask(ports, connection, `begin isolation level read committed; ${idle}`);
    const { rows } = await ask(ports, connection, fence.hold.text, fence.hold.values);
    const row = rows[0] as { id: string } | undefined;
    if (row === undefined) throw fenced(fence);
    return row.id;
  } catch (error) {
    throw error instanceof ExclaimError ? error : databaseError(error, "a fenced transaction could not start");
  }
}

/** Runs the handler's work. What it left running may not reach the connection once the transaction is over: it is another's then. */
async function underFence<T>(
  ports: FencedTransactionPorts,
  connection: Connection,
  fence: Fence,
  work: (tx: Transaction) => Promise<T>,
): Promise<{ readonly value: T; readonly hasPublished: boolean }> {
  let isOpen = true;
  let hasPublished = false;
  const publisher = Object.values(fence.publisher);
  try {
    const value = await work({
      token: fence.token,
      client: connection,
      async query<R extends Row>(text: string, values?: readonly unknown[]) {
        const { rows, rowCount } = await ask({ text, ...(values === undefined ? {} : { values: [...values] }) });
        return { rows: rows as R[], rowCount };
      },
      async publish(topic, payload) {
        const stored = payloadText(topic, payload);
        const { rows } = await ask({
          text: `insert into ${ports.schema}.outbox (token, topic, payload, ${Object.keys(fence.publisher).join(", ")})
                 values ($1, $2, $3, ${publisher.map((_, index) => `$${index + 4}`).join(", ")}) returning id`,
          values: [fence.token.toString(), topic, stored, ...publisher],
        }).catch((error: unknown) => {
          const fault = databaseFault(error);
          throw fault === "forbidden" || fault === "schema" ? databaseError(error, "a message could not be published") : error;
        });
        hasPublished = true;
        return (rows[0] as { id: string }).id;
      },
    });
    return { value, hasPublished };
  } finally {
    isOpen = false;
  }

  async function ask(query: Query): Promise<QueryAnswer> {
    if (isOpen) {
      const answer = await connection.query(query).catch(brokenOrTheirs);
      isOpen &&= isInside(connection);
      assertInside(connection, fence);
      return answer;
    }
    throw new ExclaimError(
      "CLAIM_ENDED",
      "the transaction is over: await every query and publish before its work returns",
      fence.details,
    );
  }
}

/**
 * A connection that broke is nothing the handler did; what the server says of its statement is the handler's, as it was thrown, and
 * so is what the driver cannot send at all, such as an object with a cycle.
 */
function brokenOrTheirs(error: unknown): never {
  const isTheirs = databaseFault(error) !== "unreachable" || error instanceof TypeError || error instanceof RangeError;
  throw isTheirs ? error : databaseError(error, "the connection broke inside a fenced transaction");
}

/** Throws PAYLOAD_INVALID before anything is asked of the server. */
function payloadText(topic: unknown, payload: unknown): string {
  if (typeof topic !== "string" || topic === "") {
    throw new ExclaimError("PAYLOAD_INVALID", "a message needs a topic: publish(topic, payload) with a text that is not empty");
  }
  if (topic.includes("\0") || !topic.isWellFormed()) {
    throw new ExclaimError("PAYLOAD_INVALID", "a topic holds a NUL byte or half a character, which PostgreSQL does not store");
  }
  try {
    return JSON.stringify(payload ?? null) ?? "null";
  } catch (cause) {
    throw new ExclaimError(
      "PAYLOAD_INVALID",
      "the payload cannot be stored as JSON: publish plain data, a bigint as a string",
      {
        cause,
      },
    );
  }
}

async function complete(
  ports: FencedTransactionPorts,
  connection: Connection,
  fence: Fence,
  result: StoredResult,
): Promise<void> {
  const { text, values } = fence.end(result);
  const { rowCount } = await ask(ports, connection, text, values).catch((error: unknown) => {
    throw sqlState(error) === IN_FAILED_TRANSACTION
      ? aborted(fence, error)
      : databaseError(error, "the completion could not be written, nothing was committed");
  });
  if (rowCount !== 1) throw fenced(fence);
}

/** Resolves with nothing once committed, or with the error that lost the answer. */
async function commit(ports: FencedTransactionPorts, connection: Connection, fence: Fence): Promise<unknown> {
  let command: string | undefined;
  try {
    ({ command } = await ask(ports, connection, "commit"));
  } catch (error) {
    // A server's own refusal (a deferred constraint) undid it; any other failure leaves open whether it was committed.
    if (sqlState(error) !== undefined && databaseFault(error) !== "unreachable") throw error;
    return error;
  }
  if (command !== "COMMIT") throw aborted(fence);
  return undefined;
}

/** Another transaction may have the same id in another life of the server; without a life it cannot be asked about. */
interface TransactionId {
  readonly id: string;
  readonly life: string | undefined;
}

/**
 * Asks the server what became of a transaction whose COMMIT was not answered.
 * Source: PostgreSQL manual 9.27.8, pg_xact_status: "critical for recovery of an in-progress commit".
 */
async function inquire(
  ports: FencedTransactionPorts,
  fence: Fence,
  { id, life }: TransactionId,
  cause: unknown,
): Promise<void> {
  const endMs = ports.clock.now() + COMMIT_INQUIRY_MS;
  while (life !== undefined) {
    try {
      const { rows } = await ports.statements.run({
        text: `select life, case when life = $2 then pg_xact_status($1::xid8) end as status from (select ${LIFE_SQL} as life) server`,
        values: [id, life],
      });
      const server = rows[0] as { life: string | null; status: string | null };
      if (server.status === "committed") return;
      if (server.status === "aborted")
        throw databaseError(cause, "the connection broke at COMMIT and the transaction was rolled back");
      if (server.life !== life) {
        ports.life.forget();
        break;
      }
    } catch (error) {
      if (error instanceof ExclaimError) throw error;
    }
    if (ports.clock.now() >= endMs) break;
    await pause(ports.clock, COMMIT_INQUIRY_PAUSE_MS);
  }
  throw new ExclaimError(
    "COMMIT_UNKNOWN",
    "the answer to COMMIT was lost and the server cannot tell any more what became of it: the next delivery finds out and resumes or replays",
    { ...fence.details, cause },
  );
}

/** Whether the connection can go back to its pool. */
async function rollBack(ports: FencedTransactionPorts, connection: Connection): Promise<boolean> {
  try {
    await ask(ports, connection, "rollback");
    return true;
  } catch (error) {
    return isRecoverable(error);
  }
}

function ask(ports: FencedTransactionPorts, connection: Connection, text: string, values?: unknown[]) {
  return connection.query({ text, query_timeout: ports.statements.timeoutMs, ...(values === undefined ? {} : { values }) });
}

/** Work can run COMMIT or ROLLBACK as it can any statement, and what it wrote afterwards would pass no fence. */
function assertInside(connection: Connection, fence: Fence): void {
  if (isInside(connection)) return;
  throw new ExclaimError(
    "TRANSACTION_ABORTED",
    "the work ended the transaction itself: leave COMMIT and ROLLBACK to exclaim, and throw to have everything undone",
    fence.details,
  );
}

function isInside(connection: Connection): boolean {
  return connection.getTransactionStatus?.() !== "I";
}

function aborted(fence: Fence, cause?: unknown): ExclaimError {
  return new ExclaimError(
    "TRANSACTION_ABORTED",
    "a statement of the transaction failed and its error was swallowed, so the database rolled all of it back: let the error through",
    { ...fence.details, ...(cause === undefined ? {} : { cause }) },
  );
}

function fenced({ noun, details }: Fence): ExclaimError {
  return new ExclaimError("FENCED", `refused: the ${noun} has a newer token or has ended, nothing was written`, details);
}
