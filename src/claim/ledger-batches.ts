import type { Clock } from "../clock.ts";
import { ExclaimError } from "../errors.ts";
import type { Guard, Renewer } from "../lease/guard.ts";
import { GroupCommit } from "../ledger/group-commit.ts";
import type { ClaimRef, Completion, EndAnswer, Ledger, NewClaims } from "../ledger/ledger.ts";
import type { PoolDefinition } from "../ledger/pool-definition.ts";
import { askAgain } from "./ask-again.ts";
import { type ClaimWish, PoolClaims, type TimedAnswer } from "./pool-claims.ts";
import { renewalOf } from "./renewal-of.ts";

/** Leases renewed by one statement. */
const RENEWAL_BATCH = 500;

/**
 * The ledger, one claim at a time for the engine and many at a time for the database: calls that arrive while a statement is in
 * flight share the next one. Claims travel by pool, also those of different scopes, completions and failures all together, releases by pool.
 */
export class LedgerBatches {
  readonly #ledger: Ledger;
  readonly #clock: Clock;
  readonly #ttlMs: number;
  readonly #poolIds = new WeakMap<PoolDefinition, number>();
  #pools = 0;
  readonly #claims: PoolClaims;
  readonly #releases = new Map<number, GroupCommit<ClaimRef, EndAnswer>>();
  readonly #completions: GroupCommit<Completion, EndAnswer>;
  readonly #failures: GroupCommit<ClaimRef, EndAnswer>;
  readonly #abandoned: GroupCommit<ClaimRef, EndAnswer>;
  readonly #renewer: Renewer<ClaimRef>;

  constructor(ledger: Ledger & Partial<NewClaims>, clock: Clock, ttlMs: number) {
    this.#ledger = ledger;
    this.#claims = new PoolClaims({ ledger, clock, ttlMs });
    this.#clock = clock;
    this.#ttlMs = ttlMs;
    this.#completions = new GroupCommit({ run: (members) => askAgain(clock, () => ledger.complete(members)), clock });
    this.#failures = new GroupCommit({ run: (members) => askAgain(clock, () => ledger.fail(members)), clock });
    this.#abandoned = new GroupCommit({ run: (members) => ledger.fail(members) });
    this.#renewer = {
      batch: RENEWAL_BATCH,
      renew: async (claims) => (await ledger.renew(claims, ttlMs)).map(renewalOf),
      lostBecause: () => "the ledger gave the claim a newer token",
      label: ({ claimant }) => `the lease of ${claimant}`,
    };
  }

  /** Throws what concerns the whole call: DATABASE_UNREACHABLE, POOL_INVALID, SCHEMA_OUTDATED. */
  claim(wish: ClaimWish): Promise<TimedAnswer> {
    return this.#claims.claim(wish);
  }

  /** Throws FENCED when the token is not the newest, DATABASE_UNREACHABLE. */
  async complete(completion: Completion): Promise<void> {
    const answer = await this.#completions.submit(completion);
    const settled = answer === "busy" ? await this.#alone(() => this.#ledger.complete([completion], { wait: true })) : answer;
    assertDone(settled, completion.claim);
  }

  /** Throws FENCED, DATABASE_UNREACHABLE. */
  async fail(claim: ClaimRef): Promise<void> {
    const answer = await this.#failures.submit(claim);
    const settled = answer === "busy" ? await this.#alone(() => this.#ledger.fail([claim], { wait: true })) : answer;
    assertDone(settled, claim);
  }

  /** Throws FENCED, DATABASE_UNREACHABLE, CLAIM_REFUSED. */
  async release(pool: PoolDefinition, claim: ClaimRef): Promise<void> {
    const id = this.#poolId(pool);
    let group = this.#releases.get(id);
    if (group === undefined) {
      group = new GroupCommit({ run: (claims) => askAgain(this.#clock, () => this.#ledger.release(pool, claims)) });
      this.#releases.set(id, group);
    }
    const answer = await group.submit(claim);
    const settled = answer === "busy" ? await this.#alone(() => this.#ledger.release(pool, [claim], { wait: true })) : answer;
    assertDone(settled, claim);
  }

  /** What the lease of a claim is guarded by in the ledger. */
  guard(claim: ClaimRef): Guard<ClaimRef> {
    return { ref: claim, ttlMs: this.#ttlMs, renewer: this.#renewer };
  }

  /**
   * Ends a lease whose process is about to end: one try that waits for no locked row. What it does not reach runs out by itself.
   * Throws DATABASE_UNREACHABLE.
   */
  async abandon(claim: ClaimRef): Promise<void> {
    await this.#abandoned.submit(claim);
  }

  /** Outside the batch, a claim waits for the transaction that holds its row, up to the statement's time limit. */
  async #alone(ask: () => Promise<readonly EndAnswer[]>): Promise<EndAnswer> {
    const [answer] = await askAgain(this.#clock, ask);
    return answer ?? "lost";
  }

  #poolId(pool: PoolDefinition): number {
    const known = this.#poolIds.get(pool);
    if (known !== undefined) return known;
    this.#pools += 1;
    this.#poolIds.set(pool, this.#pools);
    return this.#pools;
  }
}

function assertDone(answer: EndAnswer, claim: ClaimRef): void {
  if (answer === "done") return;
  if (typeof answer === "object") throw answer.refused;
  throw new ExclaimError("FENCED", "refused: the claim has a newer token or has ended", {
    claimant: claim.claimant,
    pool: claim.pool,
  });
}
