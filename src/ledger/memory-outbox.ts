import { ExclaimError } from "../errors.ts";
import type { Transaction } from "./ledger.ts";

/** A message that a committed transaction published. */
export interface PublishedMessage {
  readonly id: string;
  readonly topic: string;
  /** What the payload is after a way through JSON. */
  readonly payload: unknown;
}

/** Fenced transactions in memory: messages are there once the work is done and the fence still stands. */
export class MemoryOutbox {
  /** In commit order. */
  readonly published: PublishedMessage[] = [];
  #messageCount = 0;

  /**
   * Runs `work` and then, in one synchronous step, `commit`, which checks the fence where it takes effect: a takeover while `work`
   * ran wins, as nobody could wait for a process that died. What either throws is passed on, and nothing is published.
   */
  async transact<T>(token: bigint, work: (tx: Transaction) => Promise<T>, commit: (value: T) => void): Promise<T> {
    const messages: PublishedMessage[] = [];
    let isOpen = true;
    const value = await work(this.#transaction(token, messages, () => isOpen));
    isOpen = false;
    commit(value);
    this.published.push(...messages);
    return value;
  }

  /** A transaction that collects in `messages` what it publishes while it is open. */
  #transaction(token: bigint, messages: PublishedMessage[], isOpen: () => boolean): Transaction {
    return {
      token,
      client: undefined,
      query: async () => {
        throw new ExclaimError("CONFIG_INVALID", "The memory ledger runs no SQL: use the Postgres ledger for query().");
      },
      publish: async (topic, payload) => {
        if (!isOpen()) throw new ExclaimError("CLAIM_ENDED", "The transaction is over: publish before its work returns.");
        this.#messageCount += 1;
        const id = `message-${this.#messageCount}`;
        messages.push({ id, topic, payload: JSON.parse(JSON.stringify(payload ?? null)) });
        return id;
      },
    };
  }
}
