import { describe } from "vitest";
import { choosingRules } from "./ledger/choosing.ts";
import { claimingRules } from "./ledger/claiming.ts";
import { endingRules } from "./ledger/ending.ts";
import { fencingRules } from "./ledger/fencing.ts";
import type { CreateLedger } from "./ledger/fixture.ts";
import { foreignWriteRules } from "./ledger/foreign-writes.ts";
import { racingRules } from "./ledger/racing.ts";
import { resumingRules } from "./ledger/resuming.ts";

/**
 * The rules of a ledger, run once for each: `ledgerConformance("memory", create)`. `create` and what it must give are in
 * `ledger/fixture.ts`; it is called once a test, for a table and a ledger of its own.
 *
 * The promises, as far as a ledger keeps them:
 * - S1 one owner: a row is named by at most one claim that is not released, whatever its owner column says;
 * - S2 one row a claimant: in a pool and scope, also within a batch, across batches and across resumes;
 * - S3 ordered tokens: a resource's token grows by one at every grant, resume and rerun, also across a release;
 * - S4 fenced writes: only the newest token of a held claim ends it, renews it or writes in a transaction;
 * - S5 nothing lost: a repeated call finds what the first one did, a stored result comes back as it was;
 * - S6 honest refusal: empty means that no row was free.
 *
 * And the rules under them:
 * - C1 a claim writes and answers the row as it is after it, one answer a request, in the order asked;
 * - C2 a live lease of another holder is contended, with its rest as the hint;
 * - C3 claimants compare by their text in the owner column's type; one that does not fit is refused alone;
 * - C4 a lease that is over costs nothing until somebody takes over;
 * - C5 a completed claim is replayed, or claimed again by a rerun;
 * - C6 ends are idempotent, answered member by member, and lost when the state does not allow them;
 * - C7 a release undoes owner and set, and forgets attempts;
 * - C8 a transaction and the completion in it happen together or not at all;
 * - C9 a scope has its own rows and claimants, and one canonical text;
 * - C10 a picked row is claimed, taken or not there; the claimant's own claim comes first;
 * - C11 free is: nobody's, where holds; orderBy decides which comes first;
 * - C12 a table without an owner column does as well;
 * - C13 a claimed row that somebody else changed is refused to its claimant and given to nobody.
 *
 * A ledger may answer an end with busy, and a claim that races another with contended: the suite asks again.
 * Where a transaction is open, a takeover may wait for it or fence it: the suite accepts either, and never both.
 *
 * Teeth: each of these faults was planted alone in the memory ledger and failed at least one test here.
 * - tokens: not compared by complete; not compared by any end; compared without the row; starting at 1 after a release;
 *   kept by a resume; grown by a lost answer's retry;
 * - claims: one free row a batch, so the second claimant is told empty; a row with a null owner given away under its claim;
 *   resumed although somebody changed the owner; another row on resume; the holder not recognised; the holder recognised
 *   after completion; a lease that never ends; a live lease taken over; rerun ignored; a failed lease that lasts on;
 *   one claimant that does not fit failing its batch; answers in another order; the row answered as it was before;
 * - choice: claimants not canonical, or through a double; scopes not canonical, in the order written, left out of the key
 *   or of the choice; where ignored; order ignored; a pick before the own claim, outside the scope, or told empty when taken;
 * - ends: release that forgets set, saves set again on resume, frees a stranger's row, is lost the second time, keeps the row
 *   reserved, undoes a completion, fails for a removed row, or keeps the attempt; a second completion that overwrites or is
 *   lost; a renewal that revives a failed claim or does nothing; a result parsed and printed again;
 * - transactions: publishing at once, or although the work failed; no fence before the work; no fence at commit; the
 *   completion forgotten; the work's error wrapped; message ids that repeat.
 */
export function ledgerConformance(name: string, create: CreateLedger): void {
  describe(`the ${name} ledger`, () => {
    claimingRules(create);
    resumingRules(create);
    endingRules(create);
    fencingRules(create);
    choosingRules(create);
    foreignWriteRules(create);
    racingRules(create);
  });
}
