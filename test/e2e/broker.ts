/** What came of messages, as their broker tells it. */
export interface Account {
  /** How often a message waits that has not ended. */
  readonly left: number;
  /** Different messages that have ended. */
  readonly ended: number;
  /** Messages that were refused, each as often as the broker keeps it. */
  readonly refused: readonly Refusal[];
}

export interface Refusal {
  readonly userId: number;
  readonly reason: string;
}

/** What a message of a sign-up holds, whichever broker carries it. */
export interface SignUp {
  readonly user_id: number;
}
