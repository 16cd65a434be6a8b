import { onTestFinished } from "vitest";
import type { ExclaimError } from "../../src/errors.ts";
import { dispatchOutbox } from "../../src/outbox/dispatch-outbox.ts";
import type { OutboxDispatcher, OutboxOptions } from "../../src/outbox/outbox-options.ts";
import type { MessageTarget, OutgoingMessage, SendAnswer } from "../../src/outbox/target.ts";
import { type LedgerDatabase, ledgerDatabase } from "../ledger/ledger-database.ts";
import { databaseRoles } from "../security/database-roles.ts";

/** A database of a test file's own whose outbox is looked into and filled by hand. */
export interface OutboxDatabase extends LedgerDatabase {
  /** Puts one message a payload into the outbox, as a claimant's transaction would. Returns their ids. */
  publish(claimant: string, payloads: readonly unknown[], topic?: string): Promise<readonly string[]>;
  /** The rows, oldest first. */
  rows(): Promise<readonly OutboxRow[]>;
  /** Makes what was put off due. */
  hurry(): Promise<void>;
  /** A dispatcher over connections of its own, with the rights that SECURITY.md grants and no others, closed with the test; errors go to `errors`. */
  dispatch(options: Partial<OutboxOptions>): OutboxDispatcher & { readonly errors: ExclaimError[] };
  empty(): Promise<void>;
}

export interface OutboxRow {
  readonly id: string;
  readonly payload: unknown;
  readonly state: "waiting" | "sent" | "parked";
  readonly attempts: number;
  readonly reason: string | null;
}

export async function outboxDatabase(): Promise<OutboxDatabase> {
  const database = await ledgerDatabase();
  const { sql, url } = database;
  const roles = await databaseRoles(sql, url);
  await roles.grant({ schema: "exclaim" });
  return {
    ...database,
    async drop() {
      await roles.drop();
      await database.drop();
    },
    async publish(claimant, payloads, topic = "noted") {
      const { rows } = await sql.query(
        `insert into exclaim.outbox (pool, scope, claimant, token, topic, payload)
         select 'seat', '{}', $1, 1, $2, p from unnest($3::json[]) with ordinality u (p, n) order by n returning id`,
        [claimant, topic, payloads.map((payload) => JSON.stringify(payload))],
      );
      return rows.map(({ id }) => id);
    },
    async rows() {
      const { rows } = await sql.query(
        `select id, payload, attempts, reason, case when published_at is not null then 'sent'
           when parked_at is not null then 'parked' else 'waiting' end as state
         from exclaim.outbox order by position`,
      );
      return rows;
    },
    async hurry() {
      await sql.query("update exclaim.outbox set next_at = clock_timestamp() where next_at > clock_timestamp()");
    },
    dispatch(options) {
      const errors: ExclaimError[] = [];
      const connections = roles.connect("dispatcher", { max: 3 });
      onTestFinished(() => connections.end());
      const dispatcher = dispatchOutbox({
        database: connections,
        pollMs: 20,
        onError: (error) => void errors.push(error as ExclaimError),
        ...options,
      });
      onTestFinished(() => dispatcher.close());
      return Object.assign(dispatcher, { errors });
    },
    async empty() {
      await sql.query("delete from exclaim.outbox");
    },
  };
}

/** A target that keeps what it takes: what a test wants refused or thrown no real broker does on demand. */
export interface KeptMessages extends MessageTarget {
  /** What it took, in order. */
  readonly messages: readonly OutgoingMessage[];
  /** How often it was asked. */
  readonly calls: number;
}

/** `answer` says what becomes of a message; what it throws is what `send` throws. All are sent unless said. */
export function keptMessages(
  answer: (message: OutgoingMessage) => Promise<SendAnswer> | SendAnswer = () => "sent",
): KeptMessages {
  const messages: OutgoingMessage[] = [];
  let calls = 0;
  return {
    name: "kept messages",
    chunkSize: 100,
    messages,
    get calls() {
      return calls;
    },
    async send(offered) {
      calls += 1;
      const answers: SendAnswer[] = [];
      for (const message of offered) answers.push(await answer(message));
      messages.push(...offered.filter((_, index) => answers[index] === "sent"));
      return answers;
    },
  };
}
