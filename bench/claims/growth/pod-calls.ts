/** Where a process's engines claim: a table and a ledger that are there already. */
export interface GrowthPlace {
  readonly databaseUrl: string;
  /** Schema and name. */
  readonly table: string;
  readonly ledgerSchema: string;
  /** From 2 on, a claimant's campaign is its number modulo this. */
  readonly scopes: number;
}

/** Claimants by number: `first` and the `count - 1` behind it. */
export interface Claimants {
  readonly first: number;
  readonly count: number;
  /** So many of them claim at a time, spread over the process's engines. */
  readonly concurrency: number;
}

/** What an engine sent. */
export interface ClaimStatement {
  readonly text: string;
  /** The second one has the claimants: a list, or the only one. */
  readonly values: readonly unknown[];
}

/** What a process of engines can be asked: `begin` first, `close` last, each by the name of the case, of which it may have several. */
export type PodCalls = {
  readonly begin: {
    readonly ask: { readonly name: string; readonly place: GrowthPlace; readonly engines: number };
    readonly answer: undefined;
  };
  readonly claim: { readonly ask: { readonly name: string; readonly claimants: Claimants }; readonly answer: undefined };
  /** The claim statement with the most claimants among those sent lately. */
  readonly largestStatement: { readonly ask: string; readonly answer: ClaimStatement };
  /** The first claim statement of an engine that has just begun: it claims for this claimant. */
  readonly firstStatement: {
    readonly ask: { readonly name: string; readonly claimant: number };
    readonly answer: ClaimStatement;
  };
  readonly close: { readonly ask: string; readonly answer: undefined };
};
