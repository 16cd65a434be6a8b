import { expect } from "vitest";
import { isExclaimError } from "../../src/errors.ts";
import type { ClaimAnswer, ClaimRef, ClaimRequest, EndAnswer, FoundClaim } from "../../src/ledger/ledger.ts";
import type { Scope } from "../../src/ledger/pool-definition.ts";
import { type ClaimStep, type EndAct, HOUR_MS, STEP_MS, type StepOf } from "./claim-script.ts";
import { type ClaimSide, texts } from "./claim-sides.ts";

/** How far a hint may be off: what a script really takes. */
const SLACK_MS = 8_000;

/** A claim as each ledger names it, the one in memory first. */
type RefPair = readonly [ClaimRef, ClaimRef];

/** A request, and what an earlier one of its batch has in common with it. */
interface Asked {
  readonly request: ClaimRequest;
  /** An earlier one is of the same claimant: the ledger may not know yet how long the wait is. */
  readonly isRepeated: boolean;
  /** An earlier one picked the same row. */
  readonly isRival: boolean;
}

/** Plays one script on both ledgers, step by step; a step that is answered differently throws. */
export class ClaimPlay {
  /** The effects of the transactions that committed, in order. */
  readonly committedEffects: number[] = [];
  readonly #memory: ClaimSide;
  readonly #postgres: ClaimSide;
  readonly #granted: RefPair[] = [];
  /** By claimant, those of all requests. */
  readonly #holders = new Map<string, string[]>();
  #count = 0;

  constructor(memory: ClaimSide, postgres: ClaimSide) {
    this.#memory = memory;
    this.#postgres = postgres;
  }

  async step(step: ClaimStep): Promise<void> {
    this.#count += 1;
    switch (step.act) {
      case "claim":
        return this.#claim(step);
      case "transact":
        return this.#transact(step);
      case "find":
        return this.#find(step);
      case "write":
        await this.#both((side) => side.write(step.id, step.write));
        return;
      case "elapse":
        await this.#both((side) => side.elapse(step.steps * STEP_MS));
        return;
      default:
        return this.#end(step);
    }
  }

  async #claim(step: StepOf<"claim">): Promise<void> {
    const asked = await this.#requests(step);
    const requests = asked.map(({ request }) => request);
    const [inMemory, stored] = await this.#both((side) =>
      side.claim({ pool: side.pool, ttlMs: step.hours * HOUR_MS, rerun: step.rerun, requests }, step.asNew),
    );
    asked.forEach((member, index) => {
      const [left, right] = [inMemory[index], stored[index]];
      if (left === undefined || right === undefined) throw new Error("A request was not answered.");
      expectAlike(member, left, right);
      if (left.status === "claimed" && right.status === "claimed") this.#granted.push([left.claim, right.claim]);
    });
  }

  /**
   * The requests of a batch whose outcome the contract determines. Where claimants without a claim and claimants who released theirs
   * ask for any row together, it leaves open who goes first; a new claimant who asks twice may be counted twice, which passes over a
   * row; and where one request is refused, the others may be asked one after another.
   */
  async #requests(step: StepOf<"claim">): Promise<Asked[]> {
    const { claims } = await this.#memory.state();
    const scopeOf = (campaign: number | string): Scope => (step.scope === "each" ? { campaign_id: campaign } : step.scope);
    const isNumber = this.#memory.pool.ownerColumn !== undefined;
    const misfits = step.members.some((member) =>
      [member.pick, member.claimant, scopeOf(member.campaign).campaign_id].includes("x"),
    );
    const seen = new Map<string, Set<string>>();
    const asked: Asked[] = [];
    const holders = new Set<string>();
    let isAnyNew = false;
    let isAnyReleased = false;
    let isAnyNewTwice = false;
    for (const member of step.members) {
      const scope = scopeOf(member.campaign);
      const scopeText = JSON.stringify(texts(scope)).replace('"02"', '"2"');
      const claimant = isNumber ? member.claimant.replace("03", "3") : member.claimant;
      const known = claims.find((claim) => claim.claimant === claimant && claim.scope === scopeText);
      const isNew = known === undefined;
      const isReleased = known?.status === "released";
      if (!step.picks && ((isNew && (isAnyReleased || isAnyNewTwice)) || (isReleased && isAnyNew))) continue;
      const keys = seen.get(scopeText) ?? new Set();
      seen.set(scopeText, keys);
      const pickKey = `pick ${member.pick.replace("02", "2")}`;
      const isRepeated = keys.has(claimant);
      if (isRepeated && misfits) continue;
      isAnyNewTwice ||= isNew && isRepeated;
      isAnyNew ||= isNew;
      isAnyReleased ||= isReleased;
      const request = this.#request(member, scope, step.picks, holders);
      asked.push({ request, isRepeated, isRival: step.picks && keys.has(pickKey) });
      keys.add(claimant);
      keys.add(pickKey);
    }
    return asked;
  }

  #request(member: StepOf<"claim">["members"][number], scope: Scope, picks: boolean, taken: Set<string>): ClaimRequest {
    const { claimant, holderOf, pick } = member;
    const holders = this.#holders.get(claimant) ?? [];
    this.#count += 1;
    const earlier = holderOf === 0 ? undefined : holders.at(-holderOf);
    // No two requests of a batch are of the same holder.
    const holder = earlier === undefined || taken.has(earlier) ? `holder-${this.#count}` : earlier;
    taken.add(holder);
    this.#holders.set(claimant, [...holders, holder]);
    return { scope, claimant, holder, messageId: `message-${this.#count}`, pick: picks ? pick : null };
  }

  async #end(step: StepOf<EndAct>): Promise<void> {
    const pairs: RefPair[] = [];
    for (const back of step.backs) {
      const pair = this.#granted.at(-1 - back);
      // Two acquisitions of one claim in one batch: the contract does not say which is looked at first.
      if (pair !== undefined && !pairs.some(([claim]) => isOneClaim(claim, pair[0]))) pairs.push(pair);
    }
    const [inMemory, stored] = await this.#both((side, which) => {
      const claims = pairs.map((pair) => pair[which]);
      return endOn(side, claims, step);
    });
    expect(stored).toEqual(inMemory);
  }

  async #transact(step: StepOf<"transact">): Promise<void> {
    const pair = this.#granted.at(-1 - step.back);
    if (pair === undefined) return;
    const value = this.#count;
    const [inMemory, stored] = await this.#both(async (side, which) => {
      const claim = pair[which];
      const transaction = side.ledger.transact(
        claim,
        async (tx) => {
          await side.effect(tx, value);
          for (let message = 0; message < step.messages; message += 1) await tx.publish("topic", { value, message });
          const renewed = step.renews ? await side.ledger.renew([claim], 2 * HOUR_MS) : [];
          if (step.how === "throw") throw new Error("The work failed.");
          return { token: tx.token, renewed };
        },
        step.how === "complete" ? ({ token }) => `"${token}"` : undefined,
      );
      return transaction.catch((error: unknown) => (isExclaimError(error) ? error.code : String(error)));
    });
    expect(stored).toEqual(inMemory);
    if (typeof inMemory === "object") this.committedEffects.push(value);
  }

  async #find({ scope, claimant }: StepOf<"find">): Promise<void> {
    const [inMemory, stored] = await this.#both((side) =>
      side.ledger.find(side.pool, scope, claimant).catch((error: unknown) => (isExclaimError(error) ? error.code : error)),
    );
    expect(withoutLease(stored)).toEqual(withoutLease(inMemory));
    expect(Math.abs(leaseOf(stored) - leaseOf(inMemory))).toBeLessThan(SLACK_MS);
  }

  /** One after the other: the order of commits is the same in both. */
  async #both<T>(ask: (side: ClaimSide, which: 0 | 1) => Promise<T>): Promise<[T, T]> {
    return [await ask(this.#memory, 0), await ask(this.#postgres, 1)];
  }
}

function endOn(side: ClaimSide, claims: readonly ClaimRef[], step: StepOf<EndAct>): Promise<readonly EndAnswer[]> {
  const { ledger, pool } = side;
  const options = { wait: step.wait };
  switch (step.act) {
    case "complete":
      return ledger.complete(
        claims.map((claim) => ({ claim, result: step.result })),
        options,
      );
    case "fail":
      return ledger.fail(claims, options);
    case "release":
      return ledger.release(pool, claims, options);
    default:
      return ledger.renew(claims, HOUR_MS);
  }
}

function isOneClaim(left: ClaimRef, right: ClaimRef): boolean {
  return left.claimant === right.claimant && left.scope === right.scope;
}

function expectAlike({ isRepeated, isRival }: Asked, inMemory: ClaimAnswer, stored: ClaimAnswer): void {
  // Whether a row is still free for others is not known while the batch is being answered.
  if (isRival && inMemory.status === "taken" && stored.status === "contended") return;
  expect(outcomeOf(stored)).toEqual(outcomeOf(inMemory));
  if (isRepeated || stored.status !== "contended" || inMemory.status !== "contended") return;
  expect(Math.abs(stored.retryAfterMs - inMemory.retryAfterMs)).toBeLessThan(SLACK_MS);
}

/** What both ledgers must answer alike: not the names of pools and scopes, which each writes its own way, nor the hint. */
function outcomeOf(answer: ClaimAnswer): unknown {
  switch (answer.status) {
    case "claimed": {
      const { claim, row, attempt, resumed } = answer;
      return { claim: refOf(claim), row: texts(row), attempt, resumed };
    }
    case "contended":
      return { status: answer.status };
    case "refused":
      return { refused: answer.error.code };
    default:
      return answer;
  }
}

function refOf({ claimant, resourceId, token }: ClaimRef): unknown {
  return { claimant, resourceId, token };
}

function withoutLease(found: unknown): unknown {
  if (!isFound(found)) return found;
  return { claim: refOf(found.claim), status: found.status, messageId: found.messageId };
}

function leaseOf(found: unknown): number {
  return isFound(found) ? found.leaseMs : 0;
}

function isFound(found: unknown): found is FoundClaim {
  return typeof found === "object" && found !== null && "leaseMs" in found;
}
