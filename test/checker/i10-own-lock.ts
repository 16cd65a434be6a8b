import { brokenExclusion, isBroken } from "./broken-exclusion.ts";
import type { LockCommand, Violation } from "./history.ts";
import { type HistoryIndex, sortByCommit } from "./history-index.ts";
import { violation } from "./violation.ts";

/** The lock layer by itself, and for how long two owners had one lock on one node. */
export interface LockFindings {
  readonly violations: Violation[];
  readonly overlapMs: number;
}

/**
 * I10: a release deletes its owner's value alone, an extension brings back no lock that another owner took or that was released, and
 * nobody acquires what is held, except while clocks jump or servers forget. Judged from what the lock servers ran, alone.
 * One node of several may forget its keys and the majority still excludes: there early takeovers are summed here, and majorities judged.
 */
export function ownLock(index: HistoryIndex): LockFindings {
  const violations: Violation[] = [];
  let overlapMs = 0;
  if (index.locks.length === 0) return { violations, overlapMs };
  const spans = brokenExclusion(index.faults);
  const isOneNode = new Set(index.locks.map(({ node }) => node)).size === 1;
  for (const commands of byKey(index.locks)) {
    let last: LockCommand | undefined;
    for (const event of commands) {
      const sentence = last === undefined ? foreign(event) : (foreign(event) ?? revived(last, event));
      if (sentence !== undefined && !isBroken(spans, last, event)) violations.push(violation("I10", sentence, last, event));
      const overlap = sentence === undefined ? earlyMs(last, event) : 0;
      if (overlap > 0) {
        overlapMs += overlap;
        if (isOneNode && !isBroken(spans, last, event)) {
          const early = `${event.owner} got ${event.key}, ${overlap} ms before the time of ${last?.owner} was over`;
          violations.push(violation("I10", early, last, event));
        }
      }
      last = event;
    }
  }
  return { violations, overlapMs };
}

function byKey(commands: readonly LockCommand[]): Iterable<LockCommand[]> {
  const lists = new Map<string, LockCommand[]>();
  for (const command of commands) {
    const key = `${command.node} ${command.key}`;
    const list = lists.get(key);
    if (list === undefined) lists.set(key, [command]);
    else list.push(command);
  }
  for (const list of lists.values()) sortByCommit(list);
  return lists.values();
}

function foreign({ did, key, owner, was }: LockCommand): string | undefined {
  if (was === null || was === owner) return undefined;
  return `${owner} ${did} ${key}, which ${was} had`;
}

function revived(last: LockCommand, { did, key, owner, was }: LockCommand): string | undefined {
  if (did !== "extended" || was !== null) return undefined;
  if (last.did === "released") return `${owner} extended ${key}, which ${last.owner} had released`;
  return last.owner === owner ? undefined : `${owner} extended ${key}, which ${last.owner} had taken since`;
}

function earlyMs(last: LockCommand | undefined, event: LockCommand): number {
  if (last?.ttlMs === undefined || last.did === "released" || event.did !== "acquired" || event.owner === last.owner) return 0;
  const ms = last.at + last.ttlMs - event.at;
  return Math.max(ms, 0);
}
