/** How a place in the line is taken, kept and moved from one lease to another. */
import { EtcdCall } from "./etcd-call.ts";
import type { EtcdClient } from "./etcd-client.ts";
import { type Alive, grant, keepAlive, newLeaseId, revoke } from "./etcd-lease.ts";
import { type Contender, hold, type Line, type Place, put } from "./etcd-line.ts";

/** What one call is about. */
export interface Errand {
  readonly client: EtcdClient;
  readonly call: EtcdCall;
  readonly place: Place;
  readonly ttlMs: number;
}

/**
 * Asks for the key once: takes a place, holds it if nobody excludes us, keeps waiting if somebody does.
 * Returns how the line stands then; `own.isHeld` in it says whether it was won.
 */
export async function tryFor(errand: Errand, line: Line, { isQueued }: { isQueued: boolean }): Promise<Line> {
  const { call, place, ttlMs } = errand;
  const { own, rival } = line;
  if (rival !== undefined && !isQueued) return line;
  // One that holds and asks again has not heard of it, and the attempt that won may yet take its lease back: so the key moves to another.
  if (own === undefined || own.isHeld) return takePlace(errand, line, { isQueued });
  const alive = await call.ask(keepAlive(own.lease));
  if (!isEnough(alive, ttlMs, line)) return takePlace(errand, line, { isQueued });
  return rival === undefined ? call.ask(hold(place, own)) : line;
}

/** Makes a key that is held last its whole ttl from now. Returns whether it is still held. */
export async function keep(errand: Errand, line: Line, own: Contender): Promise<boolean> {
  const alive = await errand.call.ask(keepAlive(own.lease));
  if (isEnough(alive, errand.ttlMs, line)) return true;
  // Granted for less than is wanted now, or kept alive to no effect: what is still there moves to a new lease.
  const after = await moveTo(errand, { ...line, own }, newLeaseId());
  return after.own?.isHeld === true;
}

/**
 * Whether a lease kept alive after a look lasts `ttlMs` from the look on. A leader that was deposed and does not know yet answers too, to
 * no effect; but then its term is older than that of the look. One deposed between the two does no harm, since each new leader lets every
 * lease begin anew.
 */
function isEnough(alive: Alive, ttlMs: number, { term }: Line): boolean {
  return alive.ttlMs >= ttlMs && alive.term >= term;
}

/**
 * Puts our key under a new lease.
 * Failed: an attempt takes its lease back, in the background if need be, for as long as that could last. Since nobody else ever relies on
 * it, this takes nothing from anybody, however late it is done. One that is queued keeps its place, if it got one.
 */
async function takePlace(errand: Errand, line: Line, { isQueued }: { isQueued: boolean }): Promise<Line> {
  const lease = newLeaseId();
  try {
    const after = await moveTo(errand, line, lease, { onlyIfFree: !isQueued });
    // Our key ended since it was seen, so nothing was put: who waits begins anew.
    return isQueued && after.own === undefined ? await takePlace(errand, after, { isQueued }) : after;
  } catch (error) {
    if (!isQueued) takeBack(errand, lease);
    throw error;
  }
}

/** Gives the key a lease, and back the lease that nothing rests on then: the old one, or the new one when the key was not put. */
async function moveTo(errand: Errand, line: Line, lease: string, condition = { onlyIfFree: true }): Promise<Line> {
  const { call, place, ttlMs } = errand;
  await call.ask(grant(lease, ttlMs));
  const after = await call.ask(put(place, line, lease, condition));
  const spare = after.own?.lease === lease ? line.own?.lease : lease;
  if (spare !== undefined) await call.ask(revoke(spare)).catch(() => takeBack(errand, spare));
  return after;
}

function takeBack({ client, call, ttlMs }: Errand, lease: string): void {
  const untilMs = client.clock.now() + ttlMs;
  const revokeAgain = () => {
    const again = new EtcdCall(client, "take a lease back", call.limitMs);
    again.ask(revoke(lease)).catch(() => {
      if (client.clock.now() < untilMs) client.clock.after(call.limitMs, revokeAgain);
    });
  };
  revokeAgain();
}
