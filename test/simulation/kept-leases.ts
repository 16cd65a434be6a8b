import type { Held, HistoryEvent, Leased, TokenChanged, Violation } from "../checker/history.ts";

interface ResourceState {
  /** Until when its holder may trust it, by the newest grant or renewal that reached the holder. */
  lease: Leased | undefined;
  change: TokenChanged | undefined;
}

/**
 * What can be judged only where all share one clock and commits take no time: nobody is granted a resource while the lease of its holder
 * lives, and a process that was told that a claim is no longer its own is never told by `assertHeld()` that it holds it.
 * Shape: a lease of no time (`ttlMs` 0) is the answer that it is lost.
 */
export function keptLeases(history: readonly HistoryEvent[]): Violation[] {
  const found: Violation[] = [];
  const states = new Map<string, ResourceState>();
  const revoked = new Map<string, Leased>();
  for (const event of history) {
    if (event.what === "leased") noteLease(event, states, revoked);
    else if (event.what === "token") scanGrant(event, states, found);
    else if (event.what === "held") scanHeld(event, revoked, found);
  }
  return found;
}

function noteLease(event: Leased, states: Map<string, ResourceState>, revoked: Map<string, Leased>): void {
  const { resource = "", token, by } = event;
  if (event.ttlMs === 0) {
    revoked.set(`${by} ${resource} ${token}`, event);
    return;
  }
  const state = states.get(resource);
  // An answer may come late, and another that was asked for later may be here already.
  if (state?.change?.token !== token || state === undefined) return;
  if (state.lease === undefined || state.lease.sentAt < event.sentAt) state.lease = event;
}

function scanGrant(event: TokenChanged, states: Map<string, ResourceState>, found: Violation[]): void {
  const { resource, status, at, token } = event;
  const { change, lease } = states.get(resource) ?? {};
  const isOther = change !== undefined && (token > change.token || event.holder !== change.holder);
  const isTakeover = status === "held" && change?.status === "held" && isOther;
  if (isTakeover && lease !== undefined && lease.sentAt + lease.ttlMs > at) {
    const leftMs = lease.sentAt + lease.ttlMs - at;
    const sentence = `${resource} was granted under token ${token}, ${leftMs} ms before the lease under token ${change.token} was over`;
    found.push({ invariant: "I9", sentence, events: [lease, change, event] });
  }
  states.set(resource, { change: event, lease: token === change?.token ? lease : undefined });
}

function scanHeld(event: Held, revoked: ReadonlyMap<string, Leased>, found: Violation[]): void {
  const { by, resource, token, askedAt = event.at } = event;
  const lost = revoked.get(`${by} ${resource} ${token}`);
  if (lost === undefined || lost.at >= askedAt) return;
  const sentence = `${by} was told that it holds ${resource} under token ${token}, after it had been told that it does not`;
  found.push({ invariant: "I9", sentence, events: [lost, event] });
}
