import type { Statements } from "./run-statement.ts";

/**
 * SQL for a text that is the same from one unclean start of the server to the next: the time since which it counts.
 * Source: PostgreSQL manual, "The Cumulative Statistics System": after an unclean start, such as after a crash, all counters are reset.
 */
export const LIFE_SQL = "extract(epoch from pg_catalog.pg_stat_get_bgwriter_stat_reset_time())::text";

/**
 * Which life of the server we know. A server that crashed, and one that took over from another, gives out again the ids of transactions
 * that were not written down: an id names a transaction within one life only.
 */
export class ServerLife {
  readonly #server: Statements;
  #known: Promise<string | undefined> | undefined;

  constructor(server: Statements) {
    this.#server = server;
  }

  /** A life that began before now; nothing while the server does not answer. Asked once, and again after `forget`. Never throws. */
  known(): Promise<string | undefined> {
    this.#known ??= this.#ask();
    return this.#known;
  }

  /** It was another life than the one that is known. */
  forget(): void {
    this.#known = undefined;
  }

  async #ask(): Promise<string | undefined> {
    try {
      const { rows } = await this.#server.run({ text: `select ${LIFE_SQL} as life` });
      return (rows[0] as { life: string | null }).life ?? undefined;
    } catch {
      this.forget();
      return undefined;
    }
  }
}
