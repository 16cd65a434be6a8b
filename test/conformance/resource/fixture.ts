import { expect, onTestFinished } from "vitest";
import type { EndAnswer } from "../../../src/ledger/ledger.ts";
import type {
  LeaseEnd,
  ResourceLedger,
  ResourceRef,
  ResourceTransactions,
  Spacing,
  TakeAnswer,
  TakeRequest,
} from "../../../src/ledger/resource-ledger.ts";

/** A ledger of leases with a schema of its own, and what the suite needs to look behind its back. */
export interface ResourceFixture {
  readonly ledger: ResourceLedger & ResourceTransactions;
  /** Every lease the ledger remembers, read past it. */
  leases(): Promise<LeaseSnapshot[]>;
  /** What committed transactions published, in any order, read past the ledger. */
  published(): Promise<{ readonly id: string; readonly topic: string; readonly payload: unknown }[]>;
  /** Lets the clock that decides expiry pass. A real database really waits. */
  elapse(ms: number): Promise<void>;
  /** The time that `elapse` lets pass, from any instant on. */
  now(): number;
  /** How many beats of `BEAT_MS` a test may wait for. */
  readonly beats: number;
  /** Called once after each test, also a failed one. */
  close(): Promise<void>;
}

export interface LeaseSnapshot {
  readonly resource: string;
  readonly key: string;
  readonly token: bigint;
  readonly status: string;
  readonly attempt: number;
  /** Whole microseconds from any instant on; null while nothing has set it. */
  readonly notBeforeUs: bigint | null;
  /** How many sharers of the newest group have not ended. */
  readonly sharers: number;
}

export type CreateResources = () => Promise<ResourceFixture>;

/** A lease that nothing outlives within a test, and one that is over after `LAPSE_MS`. */
export const LONG_TTL_MS = 30_000;
export const SHORT_TTL_MS = 150;
export const LAPSE_MS = 200;

/** The shortest beat that a database can be asked to keep in a test. */
export const BEAT_MS = 60;

/** How far two clocks and the rounding of a hint to whole ms may differ. */
const TOLERANCE_MS = 3;

/** What a test opens: the fixture, closed when the test is finished, and short ways to ask its ledger. */
export async function openResources(create: CreateResources): Promise<ResourceDriver> {
  const fixture = await create();
  onTestFinished(() => fixture.close());
  return new ResourceDriver(fixture);
}

/** How one take differs from an ordinary one, which is exclusive and without spacing. */
export interface TakeWish {
  readonly resource?: string;
  readonly holder?: string;
  readonly mode?: TakeRequest["mode"];
  readonly spacing?: Spacing;
  readonly ttlMs?: number;
}

export type Held = Extract<TakeAnswer, { status: "held" }>;
export type Contended = Extract<TakeAnswer, { status: "contended" }>;

/** Every holder is another, also of another driver. */
let holderCount = 0;

/** A request for a key, under a holder of its own unless the wish names one. */
export function requestFor(key: string, wish: TakeWish = {}): TakeRequest {
  holderCount += 1;
  const { holder = `holder-${holderCount}`, mode = "exclusive", spacing = { from: "none" } } = wish;
  return { key, holder, mode, spacing, messageId: `message-of-${holder}` };
}

/** Asks a fixture's ledger in the words of the tests. */
export class ResourceDriver {
  readonly fixture: ResourceFixture;

  constructor(fixture: ResourceFixture) {
    this.fixture = fixture;
  }

  takeAll(requests: readonly TakeRequest[], wish: TakeWish = {}): Promise<readonly TakeAnswer[]> {
    const { resource = "order", ttlMs = LONG_TTL_MS } = wish;
    return this.fixture.ledger.take({ resource, ttlMs, requests });
  }

  /** One call for many keys. */
  takeMany(keys: readonly string[], wish: TakeWish = {}): Promise<readonly TakeAnswer[]> {
    return this.takeAll(
      keys.map((key) => requestFor(key, wish)),
      wish,
    );
  }

  async take(key: string, wish: TakeWish = {}): Promise<TakeAnswer> {
    const [answer, ...more] = await this.takeMany([key], wish);
    expect(more).toEqual([]);
    if (answer === undefined) throw new Error("The ledger did not answer the take.");
    return answer;
  }

  /** A take that must be answered `held`. */
  async held(key: string, wish: TakeWish = {}): Promise<Held> {
    return asHeld(await this.take(key, wish));
  }

  /** A take that must be answered `contended`. */
  async contended(key: string, wish: TakeWish = {}): Promise<Contended> {
    return asContended(await this.take(key, wish));
  }

  /**
   * A take that must be contended now, refused until the hint it was given, and held at the hint. Judged by the times between which each
   * call was answered, so that a slow machine makes it weaker and never wrong.
   */
  async heldAtTheHint(key: string, wish: TakeWish = {}): Promise<{ readonly hint: Contended; readonly held: Held }> {
    const { fixture } = this;
    const sentAtMs = fixture.now();
    const hint = await this.contended(key, wish);
    const dueAtMs = fixture.now() + hint.retryAfterMs;
    await this.elapseUntil(dueAtMs - 20);
    const early = await this.take(key, wish);
    if (early.status === "held") {
      expect(fixture.now()).toBeGreaterThanOrEqual(sentAtMs + hint.retryAfterMs - TOLERANCE_MS);
      return { hint, held: early };
    }
    await this.elapseUntil(dueAtMs);
    return { hint, held: await this.held(key, wish) };
  }

  async elapseUntil(atMs: number): Promise<void> {
    while (this.fixture.now() < atMs) await this.fixture.elapse(atMs - this.fixture.now());
  }

  /** Expects the hint of a take to be what was left of `wholeMs` since a call that was sent at `sentAtMs` and is answered. */
  async expectHint(key: string, wholeMs: number, sentAtMs: number, wish: TakeWish = {}): Promise<Contended> {
    const answer = await this.contended(key, wish);
    const passedMs = this.fixture.now() - sentAtMs;
    expect(answer.retryAfterMs).toBeLessThanOrEqual(wholeMs);
    expect(answer.retryAfterMs).toBeGreaterThanOrEqual(Math.max(1, wholeMs - passedMs - TOLERANCE_MS));
    return answer;
  }

  renew(lease: ResourceRef, ttlMs = LONG_TTL_MS): Promise<EndAnswer> {
    return this.#settled(() => this.fixture.ledger.renew([lease], ttlMs));
  }

  end(lease: ResourceRef, how: LeaseEnd["how"] = "completed"): Promise<EndAnswer> {
    return this.#settled(() => this.fixture.ledger.end([{ lease, how }]));
  }

  /** The lease of a key as it is remembered. */
  async lease(key: string): Promise<LeaseSnapshot | undefined> {
    return (await this.fixture.leases()).find((lease) => lease.key === key);
  }

  /** Asks until no transaction is in the way: `busy` is an answer that a database may give at any time. */
  async #settled(ask: () => Promise<readonly EndAnswer[]>): Promise<EndAnswer> {
    for (let tries = 0; tries < 200; tries += 1) {
      const [answer, ...more] = await ask();
      expect(more).toEqual([]);
      if (answer === undefined) throw new Error("The ledger did not answer.");
      if (answer !== "busy") return answer;
      await this.fixture.elapse(10);
    }
    throw new Error("The ledger was busy for 200 tries.");
  }
}

export function asHeld(answer: TakeAnswer | undefined): Held {
  if (answer?.status === "held") return answer;
  throw new Error(`The take was answered ${JSON.stringify(answer ?? "by nothing")}.`, { cause: answer });
}

export function asContended(answer: TakeAnswer | undefined): Contended {
  if (answer?.status === "contended") return answer;
  throw new Error(`The take was answered ${answer?.status ?? "by nothing"}.`, { cause: answer });
}
