import { afterAll, beforeAll, describe } from "vitest";
import { createExclaim } from "../../src/claim/create-exclaim.ts";
import { type FreshDatabase, freshDatabase } from "../support/postgres.ts";
import { accountingRules } from "./queue/accounting.ts";
import { claimingRules } from "./queue/claiming.ts";
import { completingRules } from "./queue/completing.ts";
import { failingRules } from "./queue/failing.ts";
import type { QueueSetup } from "./queue/fixture.ts";
import { puttingOffRules } from "./queue/putting-off.ts";
import { redeliveringRules } from "./queue/redelivering.ts";
import { resourceRules } from "./queue/resources.ts";
import { shuttingDownRules } from "./queue/shutting-down.ts";

/**
 * What becomes of a message, the same at every broker, run once for each way to talk to one: `queueConformance(setup)`. A set-up and what
 * its broker must do for a test are in `queue/fixture.ts`. What a broker does not have is data of its set-up, and no test is left out.
 *
 * The promises, as far as an adapter keeps them:
 * - S1 one owner, S2 one row a claimant: however often a message is sent or delivered, and whoever is shut down meanwhile;
 * - S3 ordered tokens: a delivery that was taken away is resumed under the next one;
 * - S4 fenced writes: what a handler's transaction wrote is there once, or not at all when its result is refused;
 * - S5 nothing lost: a message is settled last, and one whose answer did not arrive is answered with the stored result;
 * - S6 honest refusal: an empty pool is told, and dead-lettered unless a rule says else.
 *
 * And the rules under them: A and B are those of RabbitMQ's and BullMQ's adapters; most say the same of both.
 * - completed: done, with the result where the broker keeps it;
 * - put off: no attempt burned, counted, bounded by `maxDeferrals`, its neighbours served meanwhile, however long servers are away;
 * - failed: tried as often as its attempts say, and counted apart from being put off;
 * - dead-lettered: at once where no other attempt can mend it, with the reason, which is kept before the broker is told;
 * - taken away: its claim aborted, its late answer not settled, no attempt burned, not dropped as somebody else's work;
 * - of an import: what became of its row is recorded before the broker is told, once for each row, however often it is delivered;
 * - shut down: what runs is finished and settled, or handed on; what was not begun is another's.
 *
TEETH
 */
export function queueConformance(setup: QueueSetup): void {
  describe(`messages of ${setup.name}`, () => {
    let database: FreshDatabase;

    beforeAll(async () => {
      database = await freshDatabase();
      const exclaim = createExclaim({ database: database.pool });
      await exclaim.migrate();
      await exclaim.close();
    });

    afterAll(() => database.drop());

    const migrated = (): FreshDatabase => database;
    completingRules(setup);
    puttingOffRules(setup);
    failingRules(setup);
    redeliveringRules(setup, migrated);
    claimingRules(setup, migrated);
    resourceRules(setup, migrated);
    shuttingDownRules(setup, migrated);
    accountingRules(setup, migrated);
  });
}
