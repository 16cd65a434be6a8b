import type { Held, HistoryEvent, Leased, Started, TokenChanged, Violation } from "../checker/history.ts";
import { lockName } from "./sim-lock.ts";

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
  const trust = new Trust();
  for (const event of history) {
    if (event.what === "leased") {
      noteLease(event, states, revoked);
      trust.note(event);
    } else if (event.what === "token") scanGrant(event, states, found);
    else if (event.what === "started") found.push(...trust.scanStart(event));
    else if (event.what === "held") {
      scanHeld(event, revoked, found);
      found.push(...trust.scanHeld(event));
    }
  }
  return found;
}

/** Until when each process may trust what it was granted: claims, and the outer locks that they rest on. */
class Trust {
  readonly #leases = new Map<string, Leased>();
  readonly #locks = new Map<string, readonly string[]>();

  note(event: Leased): void {
    const key = trustKey(event.by, event.resource ?? "", event.token);
    const known = this.#leases.get(key);
    if (known === undefined || known.sentAt + known.ttlMs < event.sentAt + event.ttlMs) this.#leases.set(key, event);
  }

  /** No handler begins under a lease that is over. */
  scanStart(event: Started): Violation[] {
    const { by, resource, token, delivery, locks = [], at } = event;
    this.#locks.set(delivery, locks);
    const keys = [trustKey(by, resource, token), ...locks.map((key) => trustKey(by, lockName(key), undefined))];
    return keys.flatMap((key) => this.#late(key, at, event, `${by} began to work on ${resource}`));
  }

  /** Nobody is told that it holds what rests on a lock whose time is over. */
  scanHeld(event: Held): Violation[] {
    const { by, resource, delivery, askedAt = event.at } = event;
    const locks = this.#locks.get(delivery) ?? [];
    return locks.flatMap((key) => {
      return this.#late(trustKey(by, lockName(key), undefined), askedAt, event, `${by} was told that it holds ${resource}`);
    });
  }

  #late(key: string, at: number, event: Started | Held, what: string): Violation[] {
    const lease = this.#leases.get(key);
    if (lease !== undefined && lease.sentAt + lease.ttlMs >= at) return [];
    const why = lease === undefined ? "without" : `${at - lease.sentAt - lease.ttlMs} ms after`;
    const sentence = `${what} ${why} its lease of ${lease?.resource ?? key}`;
    return [{ invariant: "I9", sentence, events: lease === undefined ? [event] : [lease, event] }];
  }
}

function trustKey(by: string, resource: string, token: number | undefined): string {
  return `${by} ${resource} ${token ?? ""}`;
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
