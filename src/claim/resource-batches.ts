import type { Clock } from "../clock.ts";
import { ExclaimError } from "../errors.ts";
import type { Guard, Renewer } from "../lease/guard.ts";
import { GroupCommit } from "../ledger/group-commit.ts";
import type { EndAnswer } from "../ledger/ledger.ts";
import type { LeaseEnd, ResourceLedger, ResourceRef, TakeAnswer, TakeRequest } from "../ledger/resource-ledger.ts";
import { askAgain } from "./ask-again.ts";
import { renewalOf } from "./renewal-of.ts";

/** Leases renewed by one statement. */
const RENEWAL_BATCH = 500;

/** An answer, and when the call that brought it was sent: its lease is counted from there. */
export interface TimedTake {
  readonly answer: TakeAnswer;
  readonly sentAtMs: number;
}

/** The ledger of named resources, one lease at a time for the engine and many at a time for the database. */
export class ResourceBatches {
  readonly #ledger: ResourceLedger;
  readonly #clock: Clock;
  readonly #ttlMs: number;
  readonly #takes = new Map<string, GroupCommit<TakeRequest, TimedTake>>();
  readonly #ends: GroupCommit<LeaseEnd, EndAnswer>;
  readonly #abandoned: GroupCommit<LeaseEnd, EndAnswer>;
  readonly #renewer: Renewer<ResourceRef>;

  constructor(ledger: ResourceLedger, clock: Clock, ttlMs: number) {
    this.#ledger = ledger;
    this.#clock = clock;
    this.#ttlMs = ttlMs;
    this.#ends = new GroupCommit({ run: (ends) => askAgain(clock, () => ledger.end(ends)) });
    this.#abandoned = new GroupCommit({ run: (ends) => ledger.end(ends) });
    this.#renewer = {
      batch: RENEWAL_BATCH,
      renew: async (leases) => (await ledger.renew(leases, ttlMs)).map(renewalOf),
      lostBecause: () => "the ledger gave the key a newer token",
      label: ({ resource, key }) => `the lease of ${resource} "${key}"`,
    };
  }

  /** Throws what concerns the whole call: DATABASE_UNREACHABLE, SCHEMA_OUTDATED. */
  take(resource: string, request: TakeRequest): Promise<TimedTake> {
    let group = this.#takes.get(resource);
    if (group === undefined) {
      group = new GroupCommit({
        run: (requests) => this.#runTakes(resource, requests),
        onIdle: () => this.#takes.delete(resource),
      });
      this.#takes.set(resource, group);
    }
    return group.submit(request);
  }

  /** Throws FENCED when the token is no longer the newest, DATABASE_UNREACHABLE. */
  async end(end: LeaseEnd): Promise<void> {
    const answer = await this.#ends.submit(end);
    const settled = answer === "busy" ? await this.#alone(end) : answer;
    if (settled === "done") return;
    if (typeof settled === "object") throw settled.refused;
    throw new ExclaimError("FENCED", "refused: the key has a newer token or its lease has ended", {
      resource: end.lease.resource,
      key: end.lease.key,
    });
  }

  /** Ends the lease of a process that is about to end, by one try. Throws DATABASE_UNREACHABLE. */
  async abandon(lease: ResourceRef): Promise<void> {
    await this.#abandoned.submit({ lease, how: "failed" });
  }

  /** What the lease is guarded by in the ledger. */
  guard(lease: ResourceRef): Guard<ResourceRef> {
    return { ref: lease, ttlMs: this.#ttlMs, renewer: this.#renewer };
  }

  /** Outside the batch, a lease waits for the transaction that holds its row, up to the statement's time limit. */
  async #alone(end: LeaseEnd): Promise<EndAnswer> {
    const [answer] = await askAgain(this.#clock, () => this.#ledger.end([end], { wait: true }));
    return answer ?? "lost";
  }

  #runTakes(resource: string, requests: readonly TakeRequest[]): Promise<readonly TimedTake[]> {
    return askAgain(
      this.#clock,
      async () => {
        const sentAtMs = this.#clock.now();
        const answers = await this.#ledger.take({ resource, ttlMs: this.#ttlMs, requests });
        return answers.map((answer) => ({ answer, sentAtMs }));
      },
      // The lost call may still be at work and hold the very lease it took for us.
      (answers) => answers.some(({ answer }) => answer.status === "contended"),
    );
  }
}
