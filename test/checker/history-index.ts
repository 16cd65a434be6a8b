import type {
  Delivered,
  Effect,
  Escaped,
  Fault,
  FinalClaim,
  FinalMessage,
  FinalRow,
  Frame,
  Held,
  HistoryEvent,
  Leased,
  LockCommand,
  Outcome,
  OwnerChanged,
  Sent,
  Settle,
  Started,
  TokenChanged,
  Write,
  Wrote,
} from "./history.ts";

/** A call: how it began, and how it ended as far as the caller was told. Neither is sure: a log may have lost its last line. */
export interface Call<T extends Write | Settle> {
  readonly first: T;
  invoke: T | undefined;
  answer: T | undefined;
}

/** All of one resource under one token. */
export interface Grant {
  readonly token: number;
  readonly started: Started[];
  readonly changes: TokenChanged[];
  readonly calls: Call<Write>[];
  readonly wrote: Wrote[];
  readonly effects: Effect[];
}

/** All of one row or key. Before `sortByCommit` in the order of arrival, then in that of commits. */
export interface ResourceLog {
  readonly resource: string;
  readonly owners: OwnerChanged[];
  readonly changes: TokenChanged[];
  readonly wrote: Wrote[];
  readonly started: Started[];
  readonly finalRows: FinalRow[];
  readonly finalClaims: FinalClaim[];
  readonly grants: Map<number, Grant>;
  /** A row of a pool; else a named resource. */
  isPool: boolean;
}

export interface ClaimantLog {
  readonly claimant: string;
  readonly sent: Sent[];
  readonly started: Started[];
  readonly changes: TokenChanged[];
  /** Of the changes, those to `completed`. */
  readonly completions: TokenChanged[];
  /** Some claim of it was released. */
  hasReleased: boolean;
  readonly finalClaims: FinalClaim[];
}

export interface MessageLog {
  readonly message: string;
  readonly sent: Sent[];
  readonly deliveries: DeliveryLog[];
  readonly finals: FinalMessage[];
}

export interface DeliveryLog {
  readonly delivery: string;
  message: MessageLog | undefined;
  readonly delivered: Delivered[];
  readonly writes: Call<Write>[];
  readonly settles: Call<Settle>[];
  outcome: Outcome | undefined;
}

/** The history, by what it is about. Built in one pass. */
export interface HistoryIndex {
  readonly resources: Map<string, ResourceLog>;
  readonly claimants: Map<string, ClaimantLog>;
  readonly messages: Map<string, MessageLog>;
  readonly deliveries: Map<string, DeliveryLog>;
  readonly writes: Map<string, Call<Write>>;
  /** Of each process, in the order of its log. */
  readonly leases: Map<string, (Leased | Held)[]>;
  readonly effects: Effect[];
  readonly outcomes: Outcome[];
  readonly locks: LockCommand[];
  readonly faults: Fault[];
  readonly escaped: Escaped[];
  readonly frames: Frame[];
  readonly changeCount: number;
  readonly hasDump: boolean;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

export function indexHistory(history: readonly HistoryEvent[]): HistoryIndex {
  const index: Mutable<HistoryIndex> = {
    resources: new Map(),
    claimants: new Map(),
    messages: new Map(),
    deliveries: new Map(),
    writes: new Map(),
    leases: new Map(),
    effects: [],
    outcomes: [],
    locks: [],
    faults: [],
    escaped: [],
    frames: [],
    changeCount: 0,
    hasDump: false,
  };
  for (const event of history) add(index, event);
  for (const log of index.resources.values()) {
    sortByCommit(log.owners);
    sortByCommit(log.changes);
    sortByCommit(log.wrote);
    log.isPool = isRow(index, log);
  }
  return index;
}

function add(index: Mutable<HistoryIndex>, event: HistoryEvent): void {
  switch (event.what) {
    case "sent":
      claimantLog(index, event.claimant).sent.push(event);
      messageLog(index, event.message).sent.push(event);
      return;
    case "delivered":
      addDelivered(index, event);
      return;
    case "started":
      addStarted(index, event);
      return;
    case "leased":
    case "held":
      listOf(index.leases, event.by).push(event);
      return;
    case "write":
      addWrite(index, event);
      return;
    case "outcome":
      deliveryLog(index, event.delivery).outcome = event;
      index.outcomes.push(event);
      return;
    case "settle":
      addSettle(index, event);
      return;
    default:
      addWitnessed(index, event);
  }
}

function addWitnessed(
  index: Mutable<HistoryIndex>,
  event: Exclude<HistoryEvent, Sent | Delivered | Started | Leased | Held | Write | Outcome | Settle>,
): void {
  switch (event.what) {
    case "owner":
      resourceLog(index, event.resource).owners.push(event);
      return;
    case "token":
      addChange(index, event);
      return;
    case "wrote": {
      const log = resourceLog(index, event.resource);
      log.wrote.push(event);
      grantOf(log, event.token).wrote.push(event);
      return;
    }
    case "final-row":
      resourceLog(index, event.resource).finalRows.push(event);
      return;
    case "final-claim":
      claimantLog(index, event.claimant).finalClaims.push(event);
      if (event.resource !== null) resourceLog(index, event.resource).finalClaims.push(event);
      return;
    case "final-message":
      messageLog(index, event.message).finals.push(event);
      return;
    case "effect":
      grantOf(resourceLog(index, event.resource), event.token).effects.push(event);
      index.effects.push(event);
      return;
    case "lock":
      index.locks.push(event);
      return;
    case "fault":
      index.faults.push(event);
      return;
    case "escaped":
      index.escaped.push(event);
      return;
    case "frame":
      index.frames.push(event);
      if (event.hasDump === true) index.hasDump = true;
  }
}

function addDelivered(index: HistoryIndex, event: Delivered): void {
  const log = deliveryLog(index, event.delivery);
  log.delivered.push(event);
  attach(log, messageLog(index, event.message));
}

function addStarted(index: HistoryIndex, event: Started): void {
  const log = resourceLog(index, event.resource);
  log.started.push(event);
  grantOf(log, event.token).started.push(event);
  claimantLog(index, event.claimant).started.push(event);
}

function addChange(index: Mutable<HistoryIndex>, event: TokenChanged): void {
  const log = resourceLog(index, event.resource);
  log.changes.push(event);
  grantOf(log, event.token).changes.push(event);
  const claimant = claimantLog(index, event.claimant);
  claimant.changes.push(event);
  if (event.status === "completed") claimant.completions.push(event);
  if (event.status === "released") claimant.hasReleased = true;
  index.changeCount += 1;
}

function addWrite(index: HistoryIndex, event: Write): void {
  let call = index.writes.get(event.op);
  if (call === undefined) {
    call = { first: event, invoke: undefined, answer: undefined };
    index.writes.set(event.op, call);
    deliveryLog(index, event.delivery).writes.push(call);
    grantOf(resourceLog(index, event.resource), event.token).calls.push(call);
  }
  if (event.phase === "invoke") call.invoke ??= event;
  else call.answer = event;
}

/** A delivery is settled once; were it settled again, the answers would belong to the latest call. */
function addSettle(index: HistoryIndex, event: Settle): void {
  const log = deliveryLog(index, event.delivery);
  if (log.message === undefined) attach(log, messageLog(index, event.message));
  const latest = log.settles.at(-1);
  if (event.phase === "invoke") log.settles.push({ first: event, invoke: event, answer: undefined });
  else if (latest !== undefined) latest.answer = event;
  else log.settles.push({ first: event, invoke: undefined, answer: event });
}

function attach(log: DeliveryLog, message: MessageLog): void {
  if (log.message !== undefined) return;
  log.message = message;
  message.deliveries.push(log);
}

function resourceLog(index: HistoryIndex, resource: string): ResourceLog {
  let log = index.resources.get(resource);
  if (log === undefined) {
    log = {
      resource,
      owners: [],
      changes: [],
      wrote: [],
      started: [],
      finalRows: [],
      finalClaims: [],
      grants: new Map(),
      isPool: false,
    };
    index.resources.set(resource, log);
  }
  return log;
}

function grantOf(log: ResourceLog, token: number): Grant {
  let grant = log.grants.get(token);
  if (grant === undefined) {
    grant = { token, started: [], changes: [], calls: [], wrote: [], effects: [] };
    log.grants.set(token, grant);
  }
  return grant;
}

function claimantLog(index: HistoryIndex, claimant: string): ClaimantLog {
  let log = index.claimants.get(claimant);
  if (log === undefined) {
    log = { claimant, sent: [], started: [], changes: [], completions: [], hasReleased: false, finalClaims: [] };
    index.claimants.set(claimant, log);
  }
  return log;
}

function messageLog(index: HistoryIndex, message: string): MessageLog {
  let log = index.messages.get(message);
  if (log === undefined) {
    log = { message, sent: [], deliveries: [], finals: [] };
    index.messages.set(message, log);
  }
  return log;
}

function deliveryLog(index: HistoryIndex, delivery: string): DeliveryLog {
  let log = index.deliveries.get(delivery);
  if (log === undefined) {
    log = { delivery, message: undefined, delivered: [], writes: [], settles: [], outcome: undefined };
    index.deliveries.set(delivery, log);
  }
  return log;
}

function listOf<T>(lists: Map<string, T[]>, key: string): T[] {
  let list = lists.get(key);
  if (list === undefined) {
    list = [];
    lists.set(key, list);
  }
  return list;
}

/** Commit order is what the counter says, whatever order and time the events arrived with. */
export function sortByCommit<T extends { readonly n: number }>(events: T[]): void {
  let last = Number.NEGATIVE_INFINITY;
  for (const { n } of events) {
    if (n < last) {
      events.sort((one, other) => one.n - other.n);
      return;
    }
    last = n;
  }
}

/** The table's own witnesses say so; else those on whose behalf it was claimed. */
function isRow(index: HistoryIndex, log: ResourceLog): boolean {
  if (log.owners.length > 0 || log.finalRows.length > 0) return true;
  const claimed = log.started[0] ?? log.changes[0] ?? log.finalClaims[0];
  const sent = claimed === undefined ? undefined : index.claimants.get(claimed.claimant)?.sent[0];
  return sent === undefined ? log.finalClaims.length > 0 : sent.mode === "pool";
}
