import type { HistoryEvent } from "./history.ts";

/** The kinds of events, and the event of a kind. */
type What = HistoryEvent["what"];
export type EventOf<W extends What> = Extract<HistoryEvent, { readonly what: W }>;
/** An event by its fields; the time is the next one, and who saw it one that fits, unless they are given. */
type Fields<W extends What> = Omit<EventOf<W>, "what" | "at" | "by"> & { readonly at?: number; readonly by?: string };

const PODS: readonly What[] = ["delivered", "started", "leased", "held", "write", "outcome", "settle", "escaped"];

/** Makes an event, 1 ms after the one before it. */
export type Add = <W extends What>(what: W, fields: Fields<W>) => void;

/** A history, event by event. */
export function historyOf(tell: (add: Add) => void): HistoryEvent[] {
  const events: HistoryEvent[] = [];
  let at = 0;
  tell((what, fields) => {
    at = fields.at ?? at + 1;
    const by = PODS.includes(what) ? "pod-1.1" : "witness";
    // The fields are those of `what`, which the compiler cannot follow through the spread.
    events.push({ at, by, ...(fields as object), what } as HistoryEvent);
  });
  return events;
}

/** One delivery of a message that gets a row, writes twice under the fence, publishes, completes and is settled. */
export function completes(add: Add, message: string, claimant: string, row: number, token = 1): void {
  const delivery = `${message}/1`;
  const resource = `voucher:${row}`;
  const write = { delivery, resource, token };
  add("delivered", { delivery, message });
  add("owner", { n: token * 10 + 1, resource, was: null, became: claimant });
  add("token", { n: token * 10 + 1, resource, claimant, token, status: "held" });
  add("leased", { resource, token, sentAt: 0, ttlMs: 10_000 });
  add("started", { delivery, claimant, resource, token, attempt: 1, resumed: false });
  add("held", { delivery, resource, token });
  add("write", { ...write, phase: "invoke", op: `${delivery}/a`, completes: false });
  add("wrote", { n: token * 10 + 2, resource, claimant, token, completes: false });
  add("write", { ...write, phase: "ok", op: `${delivery}/a`, completes: false });
  add("effect", { n: 0, key: `${resource} ${claimant}`, via: "direct", claimant, resource, token });
  add("write", { ...write, phase: "invoke", op: `${delivery}/b`, completes: true });
  add("wrote", { n: token * 10 + 3, resource, claimant, token, completes: true });
  add("token", { n: token * 10 + 4, resource, claimant, token, status: "completed" });
  add("write", { ...write, phase: "ok", op: `${delivery}/b`, completes: true });
  add("outcome", { delivery, claimant, status: "completed" });
  add("settle", { phase: "invoke", delivery, message, disposition: "complete" });
  add("settle", { phase: "ok", delivery, message, disposition: "complete" });
  add("effect", { n: 0, key: `outbox ${resource} ${token}`, via: "outbox", claimant, resource, token, completes: true });
}

/** A good run: a pool of three rows; claimants a and b get one each, the third stays free; one key is worked on twice. */
export function baseHistory(): HistoryEvent[] {
  return historyOf((add) => {
    add("frame", { mark: "began", seed: 1, rows: 3, at: 0 });
    for (const claimant of ["a", "b"]) {
      add("sent", { message: `m-${claimant}`, mode: "pool", claimant, isPoison: false });
    }
    for (const message of ["m-k1", "m-k2"]) add("sent", { message, mode: "resource", claimant: "k", isPoison: false });
    add("fault", { id: "f1", kind: "stop", target: "pod-1.1", phase: "injected" });
    add("fault", { id: "f1", kind: "stop", target: "pod-1.1", phase: "hit" });
    add("fault", { id: "f1", kind: "stop", target: "pod-1.1", phase: "healed" });
    completes(add, "m-a", "a", 1);
    completes(add, "m-b", "b", 2);
    worksOnKey(add, "m-k1", 1);
    worksOnKey(add, "m-k2", 2);
    add("lock", { n: 1, node: "redis-1", key: "k", owner: "o1", did: "acquired", was: null, ttlMs: 100, at: 100 });
    add("lock", { n: 2, node: "redis-1", key: "k", owner: "o1", did: "extended", was: "o1", ttlMs: 100, at: 110 });
    add("lock", { n: 3, node: "redis-1", key: "k", owner: "o1", did: "released", was: "o1", at: 120 });
    add("frame", { mark: "calm", withinMs: 1_000, at: 200 });
    for (const message of ["m-a", "m-b", "m-k1", "m-k2"]) add("final-message", { message, state: "completed" });
    add("final-row", { resource: "voucher:1", owner: "a" });
    add("final-row", { resource: "voucher:2", owner: "b" });
    add("final-row", { resource: "voucher:3", owner: null });
    add("final-claim", { claimant: "a", resource: "voucher:1", token: 1, status: "completed" });
    add("final-claim", { claimant: "b", resource: "voucher:2", token: 1, status: "completed" });
    add("frame", { mark: "ended", hasDump: true, at: 300 });
  });
}

/** The same for a key, under which nothing is published. */
function worksOnKey(add: Add, message: string, token: number): void {
  const delivery = `${message}/1`;
  const write = { delivery, resource: "order:k", token };
  const change = { resource: "order:k", claimant: "k", token };
  add("delivered", { delivery, message });
  add("token", { ...change, n: token * 10 + 1, status: "held" });
  add("started", { ...change, delivery, attempt: 1, resumed: false });
  add("write", { ...write, phase: "invoke", op: `${delivery}/a`, completes: false });
  add("wrote", { ...change, n: token * 10 + 2, completes: false });
  add("write", { ...write, phase: "ok", op: `${delivery}/a`, completes: false });
  add("write", { ...write, phase: "invoke", op: `${delivery}/b`, completes: true });
  add("token", { ...change, n: token * 10 + 3, status: "free" });
  add("write", { ...write, phase: "ok", op: `${delivery}/b`, completes: true });
  add("outcome", { delivery, claimant: "k", status: "completed" });
  add("settle", { phase: "invoke", delivery, message, disposition: "complete" });
  add("settle", { phase: "ok", delivery, message, disposition: "complete" });
}

/** The base history with events of it changed, left out or added: whatever `change` makes of the list. */
export type Change = (events: HistoryEvent[]) => HistoryEvent[];

/** Leaves out what matches: all events of a kind whose fields are those given. */
export function without<W extends What>(what: W, fields: Partial<EventOf<W>>): Change {
  return (events) => events.filter((event) => !isLike(event, what, fields));
}

/** Changes fields of what matches. */
export function altered<W extends What>(what: W, fields: Partial<EventOf<W>>, to: Partial<EventOf<W>>): Change {
  return (events) => events.map((event) => (isLike(event, what, fields) ? ({ ...event, ...to } as HistoryEvent) : event));
}

/** Adds events at the end of the list; without a time of their own they are of the moment 150, before the calm. */
export function added(tell: (add: Add) => void): Change {
  return (events) => [...events, ...historyOf((add) => tell((what, fields) => add(what, { ...fields, at: fields.at ?? 150 })))];
}

export function all(...changes: readonly Change[]): Change {
  return (events) => changes.reduce((changed, change) => change(changed), events);
}

function isLike(event: HistoryEvent, what: What, fields: object): boolean {
  if (event.what !== what) return false;
  const known = new Map<string, unknown>(Object.entries(event));
  return Object.entries(fields).every(([name, value]) => known.get(name) === value);
}
