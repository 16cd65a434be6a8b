import type { Round } from "../bench-case.ts";

export interface ClaimerSettings {
  readonly by: "engine" | "hand";
  readonly databaseUrl: string;
  /** Schema and name. */
  readonly table: string;
  /** The engine's, migrated already. */
  readonly ledgerSchema: string;
  /** Claimants at a time. */
  readonly concurrency: number;
}

/** What a process that claims can be asked, in this order. */
export type ClaimerCalls = {
  readonly begin: { readonly ask: ClaimerSettings; readonly answer: undefined };
  /** Claims and completes for so many users, from `firstUser` on. */
  readonly claim: { readonly ask: { readonly firstUser: number; readonly users: number }; readonly answer: Round };
  readonly close: { readonly ask: undefined; readonly answer: undefined };
};
