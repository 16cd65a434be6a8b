/** A fault of servers, as the nemesis plays it: one that it cannot see come about is not counted. */
export interface ServerFault {
  /** A short phrase, e.g. `redis killed and restarted empty`. */
  readonly kind: string;
  /** The server it is done to, e.g. `redis-2` or `postgres`. */
  readonly target: string;
  /** While it lasts a lock may be had twice: a clock jumped, or a server forgot. */
  readonly breaksExclusion: boolean;
  /** How long the nemesis leaves it before it heals it, in ms: at least, at most. */
  readonly lastsMs: readonly [least: number, most: number];
  /** Of one that is named by how long it lasts, in ms: it counts only if it still lasts then. */
  readonly leastMs?: number;
  inject(): Promise<void>;
  /** Looks from outside, while it lasts, whether it came about. */
  hasHit(): Promise<boolean>;
  /** After: the server serves as before. */
  heal(): Promise<void>;
}
