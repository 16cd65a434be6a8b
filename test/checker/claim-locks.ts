import type { LockCommand, Outcome, TokenChanged } from "./history.ts";
import type { HistoryIndex } from "./history-index.ts";

/** What the lock servers ran, by the last part of the key, which is a claimant, a row's id or the key of a named resource. */
export class ClaimLocks {
  readonly #index: HistoryIndex;
  readonly #commands = new Map<string, LockCommand[]>();

  constructor(index: HistoryIndex) {
    this.#index = index;
    for (const command of index.locks) {
      const name = decodeURIComponent(command.key.slice(command.key.lastIndexOf(":") + 1));
      const list = this.#commands.get(name);
      if (list === undefined) this.#commands.set(name, [command]);
      else list.push(command);
    }
  }

  /**
   * Whether a lock of the claim may have been somebody else's from `sinceAt` until the outcome. What the delivery itself took says
   * nothing: it is told from others by its process, whose name its owners' names begin with, where that had no other delivery of the
   * claimant meanwhile, and by being the only owner of the key.
   */
  mayKeep(outcome: Outcome, change: TokenChanged, sinceAt: number): boolean {
    const isAlone = this.#isAlone(outcome, sinceAt);
    const deliveredAt = this.#index.deliveries.get(outcome.delivery)?.delivered[0]?.at ?? Number.POSITIVE_INFINITY;
    const owners = new Map<string, string>();
    for (const name of lockNames(outcome.claimant, change.resource)) {
      for (const { at, key, owner } of this.#commands.get(name) ?? []) {
        if (at < sinceAt || at > outcome.at) continue;
        if (!isAlone || at < deliveredAt || !owner.startsWith(`${outcome.by}#`)) return true;
        if ((owners.get(key) ?? owner) !== owner) return true;
        owners.set(key, owner);
      }
    }
    return false;
  }

  #isAlone({ claimant, delivery, by, at }: Outcome, sinceAt: number): boolean {
    for (const { message } of this.#index.claimants.get(claimant)?.sent ?? []) {
      for (const log of this.#index.messages.get(message)?.deliveries ?? []) {
        const first = log.delivered[0];
        if (log.delivery === delivery || first?.by !== by) continue;
        if (first.at <= at && !((log.outcome?.at ?? at) < sinceAt)) return false;
      }
    }
    return true;
  }
}

/** A claimant that has a row in each scope is named with its scope in histories, after it. */
function lockNames(claimant: string, resource: string): Set<string> {
  const scoped = claimant.lastIndexOf(" of ");
  return new Set([claimant, scoped < 0 ? claimant : claimant.slice(0, scoped), resource.slice(resource.indexOf(":") + 1)]);
}
