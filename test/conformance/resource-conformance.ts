import { describe } from "vitest";
import { beatRules } from "./resource/beats.ts";
import { endingRules } from "./resource/ending.ts";
import { fencingRules } from "./resource/fencing.ts";
import type { CreateResources } from "./resource/fixture.ts";
import { racingRules } from "./resource/racing.ts";
import { sharingRules } from "./resource/sharing.ts";
import { spacingRules } from "./resource/spacing.ts";
import { takingRules } from "./resource/taking.ts";

/**
 * The rules of the leases of named resources, run once for each ledger: `resourceConformance("memory", create)`. `create` and what it
 * must give are in `resource/fixture.ts`; it is called once a test, for leases of its own.
 *
 * The promises, as far as a ledger keeps them:
 * - S3 ordered tokens: a key's token grows by one with every exclusive take and every group of sharers, in the order they hold it;
 * - S4 fenced writes: only the newest token, and its own holder, ends, renews or writes in a transaction;
 * - S5 nothing lost: a holder that asks again finds what its first call did.
 *
 * And the rules under them:
 * - R1 a key has one live exclusive lease at most; keys and resources have nothing to do with each other; one answer a request, in order;
 * - R2 attempts are 1 after a completed take and count on after failures and crashes;
 * - R3 the hint of a contended take is exact: refused before it, held at it;
 * - R4 ends take effect at once and are idempotent, renewals last from now, both are answered member by member;
 * - R5 a key rests as long as the last take wished, whoever asks, also after a crash;
 * - R6 a beat is a fixed grid: no drift, no burst after missed beats;
 * - R7 sharers hold a key together under one token, each with a lease of its own, and nobody beside them;
 * - R8 a transaction and the end in it happen together or not at all.
 *
 * A ledger may answer an end with busy, and a take that races another with contended: the suite asks again.
 * Where a transaction is open, a take may wait for it or fence it: the suite accepts either, and never both.
 *
 * Teeth: each of these faults was planted alone, in the statements or in the memory ledger, and failed at least one test here.
 * - tokens: not grown by a take, or by a new group; grown by a lost answer's retry, or by each sharer; not compared by an end, or by
 *   the fence; compared without the holder;
 * - takes: a live lease not respected; both of a batch held; answers in another order; the holder's own lease not found behind a
 *   stranger's request; a late call of a holder that has ended taking again; attempts kept at completion, lost at failure, grown by a
 *   retry;
 * - hints: of the lease alone; 40 ms short; 40 ms long; too early although somebody has the key;
 * - spacing: not respected; dropped at the end; not counted from the end; forgotten after a crash, from start and from end; not
 *   extended by a renewal, or by a retry; moved by a retry; cleared by a take without it; kept from the take before;
 * - beats: counted from the take (drift); point after point (burst);
 * - ends and renewals: not idempotent; overwriting the first; reviving an ended lease;
 * - sharing: joining an exclusive lease; exclusive beside sharers; attempts reset; one renewal or end for all; a sharer of an older
 *   group renewed; spacing let through;
 * - transactions: no fence before the work; no fence at commit; fenced though nobody took the key; after a sharer has ended; ending
 *   always, or never.
 */
export function resourceConformance(name: string, create: CreateResources): void {
  describe(`the leases of the ${name} ledger`, () => {
    takingRules(create);
    endingRules(create);
    spacingRules(create);
    beatRules(create);
    sharingRules(create);
    fencingRules(create);
    racingRules(create);
  });
}
