import type { Clock } from "../clock.ts";
import { isExclaimError } from "../errors.ts";
import { GroupCommit } from "../ledger/group-commit.ts";
import type { ClaimAnswer, ClaimRequest, Ledger, NewClaims } from "../ledger/ledger.ts";
import type { PoolDefinition } from "../ledger/pool-definition.ts";
import { columnText } from "../ledger/quote.ts";
import { askAgain } from "./ask-again.ts";

/** While a statement for all scopes takes longer than this, those who wait for the next one go by their own scope's, and so do others. */
const STUCK_MS = 100;

/** A claim's answer, and when the call that brought it was sent: its lease is counted from there. */
export interface TimedAnswer {
  readonly answer: ClaimAnswer;
  readonly sentAtMs: number;
}

/** One claimant's wish, as the batches take it. */
export interface ClaimWish {
  readonly pool: PoolDefinition;
  readonly rerun: boolean;
  readonly request: ClaimRequest;
}

export interface PoolClaimsPorts {
  readonly ledger: Ledger & Partial<NewClaims>;
  readonly clock: Clock;
  readonly ttlMs: number;
}

/** What came of a try as a new claim. */
interface Tried {
  readonly answer: ClaimAnswer | undefined;
  readonly sentAtMs: number;
  /** The answer was lost: it may have been made all the same. */
  readonly wasLost: boolean;
}

interface NewGroup {
  readonly commit: GroupCommit<ClaimRequest, Tried>;
  /** Statements that are held up. */
  stuck: number;
}

interface Known {
  readonly request: ClaimRequest;
  readonly wasLost: boolean;
}

const NOT_TRIED: Tried = { answer: undefined, sentAtMs: 0, wasLost: false };

/**
 * Claims of many deliveries in few statements: first all of a pool as new ones, whatever their scopes; then those that were none by pool
 * and scope, so that what is wrong with one scope, or slow there, is that scope's alone.
 */
export class PoolClaims {
  readonly #ports: PoolClaimsPorts;
  readonly #poolIds = new WeakMap<PoolDefinition, number>();
  #pools = 0;
  readonly #asNew = new Map<string, NewGroup>();
  readonly #asAny = new Map<string, GroupCommit<Known, TimedAnswer>>();

  constructor(ports: PoolClaimsPorts) {
    this.#ports = ports;
  }

  /** Throws what concerns the whole call: DATABASE_UNREACHABLE, POOL_INVALID, SCHEMA_OUTDATED. */
  async claim(wish: ClaimWish): Promise<TimedAnswer> {
    const { answer, sentAtMs, wasLost } = await this.#tryAsNew(wish);
    if (answer !== undefined) return { answer, sentAtMs };
    const key = this.#keyOf(wish, true);
    let group = this.#asAny.get(key);
    if (group === undefined) {
      group = new GroupCommit({
        run: (members) => this.#runAny(wish, members),
        clock: this.#ports.clock,
        onIdle: () => this.#asAny.delete(key),
      });
      this.#asAny.set(key, group);
    }
    return group.submit({ request: wish.request, wasLost });
  }

  #tryAsNew(wish: ClaimWish): Promise<Tried> | Tried {
    const { ledger, clock } = this.#ports;
    if (ledger.claimNew === undefined || wish.request.pick !== null) return NOT_TRIED;
    const key = this.#keyOf(wish, false);
    let group = this.#asNew.get(key);
    if (group === undefined) {
      const made: NewGroup = {
        commit: new GroupCommit({ run: (requests) => this.#runNew(wish, requests, made), clock }),
        stuck: 0,
      };
      group = made;
      this.#asNew.set(key, group);
    }
    if (group.stuck > 0) return NOT_TRIED;
    return group.commit.submit(wish.request);
  }

  /** Never throws: the scopes' own statements meet the same fault, and tell it. */
  async #runNew({ pool, rerun }: ClaimWish, requests: readonly ClaimRequest[], group: NewGroup): Promise<readonly Tried[]> {
    const { ledger, clock, ttlMs } = this.#ports;
    const sentAtMs = clock.now();
    let isStuck = false;
    const cancel = clock.after(STUCK_MS, () => {
      isStuck = true;
      group.stuck += 1;
      group.commit.answerWaiting(NOT_TRIED);
    });
    try {
      const answers = (await ledger.claimNew?.({ pool, rerun, ttlMs, requests })) ?? [];
      return requests.map((_, index) => ({ answer: answers[index], sentAtMs, wasLost: false }));
    } catch (error) {
      const wasLost = isExclaimError(error, "DATABASE_UNREACHABLE");
      return requests.map(() => ({ answer: undefined, sentAtMs, wasLost }));
    } finally {
      cancel();
      if (isStuck) group.stuck -= 1;
    }
  }

  async #runAny({ pool, rerun }: ClaimWish, members: readonly Known[]): Promise<readonly TimedAnswer[]> {
    const { ledger, clock, ttlMs } = this.#ports;
    const requests = members.map(({ request }) => request);
    const triedAsNew = ledger.claimNew !== undefined;
    return askAgain(
      clock,
      async () => {
        const sentAtMs = clock.now();
        const answers = await ledger.claim({ pool, rerun, ttlMs, triedAsNew, requests });
        return answers.map((answer) => ({ answer, sentAtMs }));
      },
      // The lost call may still be at work and hold the very claim it made for us.
      (answers) => answers.some(({ answer }) => answer.status === "contended"),
      members.some(({ wasLost }) => wasLost),
    );
  }

  /** Scopes of one batch are of the same columns. */
  #keyOf({ pool, rerun, request }: ClaimWish, withValues: boolean): string {
    const columns = Object.entries(request.scope);
    if (columns.length > 1) columns.sort(([a], [b]) => (a < b ? -1 : 1));
    const scope = columns.map(([column, value]) => (withValues ? [column, typeof value, columnText(value)] : column));
    return JSON.stringify([this.#poolId(pool), rerun, request.pick !== null, scope]);
  }

  #poolId(pool: PoolDefinition): number {
    const known = this.#poolIds.get(pool);
    if (known !== undefined) return known;
    this.#pools += 1;
    this.#poolIds.set(pool, this.#pools);
    return this.#pools;
  }
}
