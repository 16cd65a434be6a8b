import type pg from "pg";
import { expect, onTestFinished } from "vitest";
import type { Claim } from "../../../src/claim/claim.ts";
import { createExclaim, type Exclaim } from "../../../src/claim/create-exclaim.ts";
import type { Pool } from "../../../src/claim/pool.ts";
import type { PoolDeliveryOptions, ResourceDeliveryOptions } from "../../../src/queue/claim-options.ts";
import type { Answer, ScriptedPool, Voucher } from "../../queue/scripted-pool.ts";
import type { FreshDatabase } from "../../support/postgres.ts";

/** One broker, as one of its clients talks to it. */
export interface QueueSetup {
  readonly name: string;
  /** The broker keeps what a handler returned. */
  readonly storesResults: boolean;
  /** A new queue that nobody else uses. */
  open(options: BrokerOptions): Promise<TestBroker>;
}

export interface BrokerOptions {
  /** How often a message is tried whose handler throws. @default 1 */
  readonly attempts?: number;
  /** Where the engines of the test keep their ledger, schema `exclaim`. @default none: the pools are scripted */
  readonly database?: pg.Pool;
}

/** A queue, and the consumers that a test starts on it. */
export interface TestBroker {
  /** What the consumers reported beside their messages' own failures. */
  readonly errors: readonly Error[];
  /** Puts a message into the queue, under an id of its own unless one is given. Resolves with its id, once the broker has it. */
  send(data: SignUp, id?: string): Promise<string>;
  /** Starts a consumer whose handler claims rows. Concurrency: 1 unless said. */
  serve(handler: PoolHandler, options: PoolOptions, concurrency?: number): Promise<TestConsumer>;
  /** Starts a consumer whose handler claims keys. */
  serveKeys(handler: KeyHandler, options: KeyOptions, concurrency?: number): Promise<TestConsumer>;
  /** Resolves once the broker will never deliver the message again. */
  ended(id: string): Promise<Ended>;
  /**
   * Has the broker take the running delivery of this message away, as it does from a process that was silent for too long. It may take
   * other running deliveries with it. The consumers go on, and get what was taken.
   */
  loseDelivery(id: string): Promise<void>;
  /** Closes everything, whatever is going on. */
  close(): Promise<void>;
}

export interface TestConsumer {
  /** Takes no more messages, lets the running ones be settled, and is gone. */
  close(): Promise<void>;
}

/** How a message ended: `result` only where the broker keeps it; `reason` as `code: text`, or the text alone where the code says no more. */
export type Ended =
  | { readonly status: "completed"; readonly result?: unknown }
  | { readonly status: "dead-lettered"; readonly reason: string };

export interface SignUp {
  readonly user_id?: number;
}

/** What the messages of all brokers have in common. */
export interface TestMessage {
  readonly data: SignUp;
}

export type PoolOptions = PoolDeliveryOptions<TestMessage, Voucher>;
export type KeyOptions = ResourceDeliveryOptions<TestMessage>;
export type PoolHandler = (message: TestMessage, claim: Claim<Voucher>) => Promise<unknown>;
export type KeyHandler = (message: TestMessage, claim: Claim<undefined>) => Promise<unknown>;

export const claimant = ({ data }: TestMessage): string => String(data.user_id);
export const contended: Answer = { status: "contended", retryAfterMs: 0 };

/** Soon, and after another message had its turn. */
export const SOON = { do: "retry", delayMs: 20 } as const;

/** A broker that is closed with the test. */
export async function openBroker(setup: QueueSetup, options: BrokerOptions = {}): Promise<TestBroker> {
  const broker = await setup.open(options);
  onTestFinished(() => broker.close());
  return broker;
}

/** What a completed message looks like at this broker. */
export function completed({ storesResults }: QueueSetup, result: unknown): Ended {
  return storesResults ? { status: "completed", result } : { status: "completed" };
}

export function deadLettered(reason: string): unknown {
  return { status: "dead-lettered", reason: expect.stringContaining(reason) };
}

/** Serves a scripted pool: the handler gives the row's code. */
export function serveScripted(
  broker: TestBroker,
  pool: ScriptedPool,
  options: Partial<PoolOptions> = {},
): Promise<TestConsumer> {
  return broker.serve(async (_message, claim) => ({ code: claim.row.code }), { pool, claimant, ...options } as PoolOptions);
}

/** A broker whose consumers claim by real engines, from a table of their own with the vouchers A, B, C, ... */
export interface EngineBench {
  readonly broker: TestBroker;
  readonly database: pg.Pool;
  readonly exclaim: Exclaim;
  readonly pool: Pool<Voucher>;
  /** A resource that no other test names. */
  readonly resource: string;
  /** Another process: an engine of its own over the same ledger, and the pool there. */
  another(): { readonly exclaim: Exclaim; readonly pool: Pool<Voucher> };
  /** Who has which voucher, by its code. */
  owners(): Promise<Record<string, string>>;
}

let tables = 0;

/** Opens a broker and an engine that are closed with the test. `fresh` has the ledger's schema already. */
export async function openBench(
  setup: QueueSetup,
  { pool: database }: FreshDatabase,
  options: { readonly attempts?: number; readonly rows?: number } = {},
): Promise<EngineBench> {
  const { rows = 3, ...brokerOptions } = options;
  tables += 1;
  const table = `voucher_item_${tables}`;
  await database.query(`create table ${table} (id int primary key, code text not null, user_id text)`);
  await database.query(`insert into ${table} select n, chr(64 + n) from generate_series(1, $1::int) n`, [rows]);
  const broker = await setup.open({ ...brokerOptions, database });
  const engines: Exclaim[] = [];
  onTestFinished(async () => {
    await Promise.all([broker.close(), ...engines.map((engine) => engine.close({ drainMs: 100 }))]);
  });
  const another = () => {
    const exclaim = createExclaim({ database, ttlMs: 5_000 });
    engines.push(exclaim);
    return { exclaim, pool: exclaim.pool<Voucher>({ table, ownerColumn: "user_id", orderBy: "id" }) };
  };
  return {
    broker,
    database,
    ...another(),
    resource: `account-${tables}`,
    another,
    async owners() {
      const { rows } = await database.query(`select code, user_id from ${table} where user_id is not null order by id`);
      return Object.fromEntries(rows.map((row) => [row.code, row.user_id]));
    },
  };
}

/** Ends of messages, in the order of their ids. */
export function allEnded(broker: TestBroker, ids: readonly string[]): Promise<Ended[]> {
  return Promise.all(ids.map((id) => broker.ended(id)));
}
