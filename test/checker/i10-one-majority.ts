import { brokenExclusion } from "./broken-exclusion.ts";
import { touches } from "./fault-spans.ts";
import type { LockCommand, Violation } from "./history.ts";
import { type HistoryIndex, sortByCommit } from "./history-index.ts";
import { violation } from "./violation.ts";

/** What an owner has of a key: by node, the command that gave it and until when. */
type Holds = Map<string, { readonly command: LockCommand; readonly untilMs: number }>;

/**
 * I10 of a lock of several nodes: no two owners have a majority of them at once, except while clocks jump or servers forget.
 * An owner has a node from what the node gave it until its time is over or it gave it back, whoever else the node gave it to since: that
 * is what the owner relies on. Nodes that each have one owner at a time give two of them no majority at once, however far their clocks
 * are apart. One node alone is judged by itself.
 */
export function oneMajority(index: HistoryIndex): Violation[] {
  const found: Violation[] = [];
  const seen = new Set(index.locks.map(({ node }) => node));
  const nodes = Math.max(seen.size, index.frames.find(({ lockNodes }) => lockNodes !== undefined)?.lockNodes ?? 0);
  if (nodes < 2) return found;
  const spans = brokenExclusion(index.faults);
  const quorum = Math.floor(nodes / 2) + 1;
  for (const commands of byKey(index.locks)) {
    const owners = new Map<string, Holds>();
    for (const event of commands) {
      apply(owners, event);
      if (event.did !== "acquired" || (owners.get(event.owner)?.size ?? 0) < quorum) continue;
      for (const [owner, holds] of owners) {
        if (owner === event.owner || holds.size < quorum) continue;
        const twice = givenTwice(holds, owners.get(event.owner));
        const sinceAt = Math.min(...twice.flat().map(({ at }) => at));
        if (twice.length === 0 || spans.some((span) => touches(span, { fromAt: sinceAt, toAt: event.at }))) continue;
        const sentence = `${event.owner} got most nodes of ${event.key}, and ${owner} had most of them still`;
        found.push(violation("I10", sentence, ...new Set([...(twice[0] ?? []), event])));
      }
    }
  }
  return found;
}

/** Of each key on all nodes by time: those of one node stay in its order. */
function byKey(commands: readonly LockCommand[]): Iterable<LockCommand[]> {
  const nodes = new Map<string, LockCommand[]>();
  for (const command of commands) {
    const list = nodes.get(command.node);
    if (list === undefined) nodes.set(command.node, [command]);
    else list.push(command);
  }
  const keys = new Map<string, LockCommand[]>();
  for (const list of nodes.values()) {
    sortByCommit(list);
    for (const command of list) {
      const known = keys.get(command.key);
      if (known === undefined) keys.set(command.key, [command]);
      else known.push(command);
    }
  }
  for (const list of keys.values()) list.sort((one, other) => one.at - other.at);
  return keys.values();
}

/** Owners whose time is over have nothing left, so that only those of the moment are compared. */
function apply(owners: Map<string, Holds>, command: LockCommand): void {
  const { at, did, node, owner, ttlMs = 0 } = command;
  for (const [name, holds] of owners) {
    for (const [of, { untilMs }] of holds) if (untilMs <= at) holds.delete(of);
    if (holds.size === 0) owners.delete(name);
  }
  const holds = owners.get(owner) ?? new Map();
  if (did === "released") holds.delete(node);
  else holds.set(node, { command, untilMs: at + ttlMs });
  if (holds.size > 0) owners.set(owner, holds);
}

/** The nodes that both have. */
function givenTwice(holds: Holds, others: Holds | undefined): (readonly [LockCommand, LockCommand])[] {
  const twice: (readonly [LockCommand, LockCommand])[] = [];
  for (const [node, { command }] of holds) {
    const other = others?.get(node)?.command;
    if (other !== undefined) twice.push([command, other]);
  }
  return twice;
}
