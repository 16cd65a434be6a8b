import { databaseError, databaseFault } from "./database-errors.ts";
import type { DeadLetter, DeadLetters } from "./dead-letters.ts";
import { escapedText } from "./escaped-text.ts";
import { inHalves } from "./in-halves.ts";
import { DEFAULT_STATEMENT_TIMEOUT_MS, type PostgresLedgerOptions } from "./postgres.ts";
import { quoteIdentifier } from "./quote.ts";
import { recordDeadLettersSql } from "./record-dead-letters.ts";
import { statements } from "./run-statement.ts";
import { runTransient } from "./run-transient.ts";

const MAX_REASON_LENGTH = 1_000;

/** The dead letters in PostgreSQL 13 or newer, beside the claims of the same schema. */
export function postgresDeadLetters(
  options: Pick<PostgresLedgerOptions, "database" | "clock" | "schema" | "statementTimeoutMs">,
): DeadLetters {
  const server = statements(options.database, options.clock, options.statementTimeoutMs ?? DEFAULT_STATEMENT_TIMEOUT_MS);
  const text = recordDeadLettersSql(quoteIdentifier(options.schema));

  return {
    async record(letters) {
      await attempt(letters);
    },
  };

  async function attempt(letters: readonly DeadLetter[]): Promise<readonly never[]> {
    const [first] = letters;
    if (first === undefined) return [];
    try {
      await runTransient(server, { text, values: columnsOf(letters) });
      return [];
    } catch (error) {
      if (databaseFault(error) !== "member") throw databaseError(error, "recording dead letters failed");
      if (letters.length > 1) return inHalves(letters, attempt);
      // A database that is not UTF8 lacks characters. A reason that cannot be written would keep its message in the queue for ever.
      const escaped = escapedLetter(first);
      if (isSame(first, escaped)) throw databaseError(error, "recording dead letters failed");
      return attempt([escaped]);
    }
  }
}

function columnsOf(letters: readonly DeadLetter[]): unknown[] {
  return [
    letters.map(({ note }) => note),
    letters.map(({ queue }) => queue),
    letters.map(({ messageId }) => messageId),
    letters.map(({ pool }) => pool),
    letters.map(({ resource }) => resource),
    letters.map(({ claimant }) => claimant),
    letters.map(({ code }) => code),
    letters.map(({ reason }) => reason),
  ];
}

/** In the characters that every encoding has. */
function escapedLetter(letter: DeadLetter): DeadLetter {
  const { queue, messageId, pool, resource, claimant, code, reason } = letter;
  return {
    note: letter.note,
    queue: escapedText(queue),
    messageId: messageId && escapedText(messageId),
    pool: pool && escapedText(pool),
    resource: resource && escapedText(resource),
    claimant: claimant && escapedText(claimant),
    code: escapedText(code),
    reason: escapedText(reason).slice(0, MAX_REASON_LENGTH),
  };
}

function isSame(one: DeadLetter, other: DeadLetter): boolean {
  return JSON.stringify(columnsOf([one])) === JSON.stringify(columnsOf([other]));
}
