import type { Clock } from "../clock.ts";
import { ExclaimError } from "../errors.ts";
import { UNKNOWN_WAIT_MS } from "./claim-answers.ts";
import type { EndAnswer, Transaction } from "./ledger.ts";
import { MemoryOutbox } from "./memory-outbox.ts";
import { intervalOf, refusedSpacing } from "./refused-spacing.ts";
import type {
  LeaseEnd,
  ResourceLedger,
  ResourceRef,
  ResourceTransactions,
  Spacing,
  TakeAnswer,
  TakeBatch,
  TakeRequest,
} from "./resource-ledger.ts";

export interface MemoryResourcesOptions {
  /** Decides when a lease is over. Only `now()` is called. */
  readonly clock: Clock;
  /** Where transactions publish; shared with `memoryLedger` it keeps one order. @default one of its own */
  readonly outbox?: MemoryOutbox;
}

/** One lease as the ledger remembers it. Times are by its clock. */
export interface LeaseRecord {
  readonly resource: string;
  readonly key: string;
  readonly token: bigint;
  readonly status: "held" | "shared" | "completed" | "failed";
  /** Null while it is shared. */
  readonly holder: string | null;
  readonly leasedUntilMs: number;
  /** Of the newest group, by holder; ended ones are gone. */
  readonly sharers: ReadonlyMap<string, number>;
  /** Exclusive takes since the last that completed. */
  readonly attempt: number;
  readonly notBeforeMs: number | null;
  readonly messageId: string | null;
}

/** The leases of named resources in memory, and what tests and simulations look at. */
export interface MemoryResources extends ResourceLedger, ResourceTransactions {
  readonly outbox: MemoryOutbox;
  /** A snapshot of every lease, in the order in which the keys came first. */
  leases(): readonly LeaseRecord[];
}

/**
 * The leases of named resources for tests, simulations and programs of one process: the rules of `ResourceLedger`, without a database.
 * After: every call takes effect in one synchronous step and answers on a microtask, as `memoryLedger` does.
 */
export function memoryResources(options: MemoryResourcesOptions): MemoryResources {
  return new ResourcesInMemory(options);
}

type MutableLease = { -readonly [K in keyof Omit<LeaseRecord, "sharers">]: LeaseRecord[K] } & {
  readonly sharers: Map<string, number>;
  /** What must pass after the end, whenever and however it comes. */
  restMs: number | null;
};

class ResourcesInMemory implements MemoryResources {
  readonly outbox: MemoryOutbox;
  readonly #clock: Clock;
  /** By resource and key. */
  readonly #leases = new Map<string, MutableLease>();

  constructor(options: MemoryResourcesOptions) {
    this.outbox = options.outbox ?? new MemoryOutbox();
    this.#clock = options.clock;
  }

  async take(batch: TakeBatch): Promise<readonly TakeAnswer[]> {
    return batch.requests.map((request) => this.#takeOne(batch, request));
  }

  async renew(leases: readonly ResourceRef[], ttlMs: number): Promise<readonly EndAnswer[]> {
    return leases.map((ref) => {
      const lease = this.#held(ref);
      if (lease === undefined) return "lost";
      this.#extend(lease, ref.holder, ttlMs);
      return "done";
    });
  }

  async end(ends: readonly LeaseEnd[]): Promise<readonly EndAnswer[]> {
    return ends.map(({ lease: ref, how }) => {
      const held = this.#held(ref);
      if (held !== undefined) {
        this.#endOne(held, ref.holder, how);
        return "done";
      }
      const lease = this.#leases.get(keyOf(ref));
      const isOver = lease?.token === ref.token && (lease.status === "shared" || lease.holder === ref.holder);
      return isOver ? "done" : "lost";
    });
  }

  async transact<T>(
    ref: ResourceRef,
    work: (tx: Transaction) => Promise<T>,
    { ends = false }: { readonly ends?: boolean } = {},
  ): Promise<T> {
    this.#assertHeld(ref);
    return this.outbox.transact(ref.token, work, () => {
      const lease = this.#assertHeld(ref);
      if (ends) this.#endOne(lease, ref.holder, "completed");
    });
  }

  leases(): readonly LeaseRecord[] {
    return [...this.#leases.values()].map(({ restMs: _restMs, ...lease }) => ({ ...lease, sharers: new Map(lease.sharers) }));
  }

  #takeOne({ resource, ttlMs }: TakeBatch, request: TakeRequest): TakeAnswer {
    const error = refusedSpacing(request);
    if (error !== undefined) return { status: "refused", error };
    const { key, holder, mode } = request;
    const lease = this.#leases.get(keyOf({ resource, key })) ?? this.#add(resource, key);
    const isOwn = mode === "shared" ? lease.sharers.has(holder) : lease.status === "held" && lease.holder === holder;
    if (!isOwn) {
      const wait = this.#wait(lease, request);
      if (wait !== undefined) return wait;
      if (mode === "exclusive") this.#begin(lease, request);
      else this.#join(lease);
    }
    this.#extend(lease, holder, ttlMs);
    const attempt = mode === "shared" ? 1 : lease.attempt;
    return { status: "held", lease: { resource, key, holder, token: lease.token }, attempt, resumed: attempt > 1 };
  }

  /** Why the key cannot be taken now, or undefined. */
  #wait(lease: MutableLease, { mode, holder }: TakeRequest): TakeAnswer | undefined {
    const nowMs = this.#clock.now();
    const leaseMs = this.#liveUntil(lease) - nowMs;
    if (mode === "shared" && lease.status === "shared" && leaseMs > 0) return undefined;
    const restMs = (lease.notBeforeMs ?? nowMs) - nowMs;
    const waitMs = Math.max(leaseMs, restMs);
    if (waitMs > 0) return { status: "contended", retryAfterMs: Math.max(1, Math.ceil(waitMs)), tooEarly: leaseMs <= 0 };
    // Ended under this holder: a call that comes late takes nothing that nobody would work on.
    const isOver = mode === "exclusive" && lease.holder === holder && lease.status !== "held";
    return isOver ? { status: "contended", retryAfterMs: UNKNOWN_WAIT_MS, tooEarly: false } : undefined;
  }

  #begin(lease: MutableLease, { holder, spacing, messageId }: TakeRequest): void {
    const notBeforeMs = this.#notBefore(lease, spacing);
    const restMs = spacing.from === "end" ? intervalOf(spacing) : null;
    lease.sharers.clear();
    Object.assign(lease, { status: "held", holder, messageId, notBeforeMs, restMs });
    lease.token += 1n;
    lease.attempt += 1;
  }

  /** Lets a sharer in, into a new group where none is live. */
  #join(lease: MutableLease): void {
    if (lease.status === "shared" && this.#liveUntil(lease) > this.#clock.now()) return;
    lease.sharers.clear();
    Object.assign(lease, { status: "shared", holder: null, messageId: null, restMs: null });
    lease.token += 1n;
  }

  #notBefore(lease: MutableLease, spacing: Spacing): number | null {
    const nowMs = this.#clock.now();
    const intervalMs = intervalOf(spacing);
    if (spacing.from === "start") return nowMs + intervalMs;
    if (spacing.from !== "beat") return lease.notBeforeMs;
    if (lease.notBeforeMs === null) return nowMs + intervalMs;
    return lease.notBeforeMs + intervalMs * (Math.floor((nowMs - lease.notBeforeMs) / intervalMs + 0.5) + 1);
  }

  #extend(lease: MutableLease, holder: string, ttlMs: number): void {
    const untilMs = this.#clock.now() + ttlMs;
    if (lease.status === "shared") lease.sharers.set(holder, untilMs);
    else {
      lease.leasedUntilMs = untilMs;
      // As if it ended when it runs out, which is what a crash is.
      if (lease.restMs !== null) lease.notBeforeMs = untilMs + lease.restMs;
    }
  }

  #endOne(lease: MutableLease, holder: string, how: "completed" | "failed"): void {
    if (lease.status === "shared") {
      lease.sharers.delete(holder);
      return;
    }
    lease.status = how;
    if (how === "completed") lease.attempt = 0;
    if (lease.restMs !== null) lease.notBeforeMs = this.#clock.now() + lease.restMs;
  }

  #liveUntil(lease: MutableLease): number {
    if (lease.status === "shared") return Math.max(Number.NEGATIVE_INFINITY, ...lease.sharers.values());
    return lease.status === "held" ? lease.leasedUntilMs : Number.NEGATIVE_INFINITY;
  }

  /** The lease, if this is its newest token and this holder has not ended it. */
  #held(ref: ResourceRef): MutableLease | undefined {
    const lease = this.#leases.get(keyOf(ref));
    if (lease?.token !== ref.token) return undefined;
    const isHeld = lease.status === "shared" ? lease.sharers.has(ref.holder) : lease.holder === ref.holder;
    return isHeld && lease.status !== "completed" && lease.status !== "failed" ? lease : undefined;
  }

  #assertHeld(ref: ResourceRef): MutableLease {
    const lease = this.#held(ref);
    if (lease !== undefined) return lease;
    throw new ExclaimError("FENCED", "A newer token exists or the lease has ended: nothing was written. Stop working on it.", {
      resource: ref.resource,
      key: ref.key,
    });
  }

  #add(resource: string, key: string): MutableLease {
    const none = { token: 0n, status: "completed", holder: null, leasedUntilMs: 0, attempt: 0 } as const;
    const lease: MutableLease = {
      resource,
      key,
      ...none,
      sharers: new Map(),
      notBeforeMs: null,
      messageId: null,
      restMs: null,
    };
    this.#leases.set(keyOf(lease), lease);
    return lease;
  }
}

/** Parts cannot run into each other, whatever they contain. */
function keyOf({ resource, key }: { readonly resource: string; readonly key: string }): string {
  return JSON.stringify([resource, key]);
}
