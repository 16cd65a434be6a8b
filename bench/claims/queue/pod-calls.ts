import type { BrokerName } from "./brokers.ts";

/** What serves a job: nothing; the four steps by hand; `withClaim` with an outer lock, or with the ledger's lease alone. */
export type HandlerName = "noop" | "hand-written" | "with-claim-redlock" | "with-claim-ledger";

export interface PodSettings {
  readonly broker: BrokerName;
  readonly brokerUrls: readonly string[];
  readonly queue: string;
  readonly concurrency: number;
  readonly handler: HandlerName;
  /** The nodes of the outer lock, for those who take one. */
  readonly lockUrls: readonly string[];
  readonly databaseUrl: string;
  /** How many connections this pod may have there. */
  readonly databaseConnections: number;
  /** Schema and name. */
  readonly table: string;
  /** The ledger's, migrated already. */
  readonly ledgerSchema: string;
}

/** How far a pod is in this round. */
export interface PodCount {
  readonly settled: number;
  /** When the last of them was, by `monotonicMs`; when it started if there was none. */
  readonly lastAtMs: number;
  /** The first thing that went wrong. */
  readonly fault: string | null;
}

/** What a pod can be asked, in this order: `begin`, then `start`, `count` as often as wished and `stop` for each round, `close`. */
export type PodCalls = {
  readonly begin: { readonly ask: PodSettings; readonly answer: undefined };
  /** Counts from zero. Answers the instant before it began to take jobs, by `monotonicMs`. */
  readonly start: { readonly ask: undefined; readonly answer: number };
  readonly count: { readonly ask: undefined; readonly answer: PodCount };
  readonly stop: { readonly ask: undefined; readonly answer: undefined };
  readonly close: { readonly ask: undefined; readonly answer: undefined };
};
