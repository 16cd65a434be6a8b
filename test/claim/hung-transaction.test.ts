import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createExclaim, type Exclaim } from "../../src/claim/create-exclaim.ts";
import type { Pool } from "../../src/claim/pool.ts";
import { eventually } from "../support/eventually.ts";
import { type FreshDatabase, freshDatabase } from "../support/postgres.ts";
import { gate } from "./engine-in-memory.ts";

// A fenced transaction keeps its claim from everybody. One that hangs must not do so for ever.

const TTL_MS = 600;

let database: FreshDatabase;
let hanging: Exclaim;
let other: Exclaim;

beforeEach(async () => {
  database = await freshDatabase();
  await database.pool.query(
    "create table voucher_item (id int primary key, user_id text); insert into voucher_item values (1), (2)",
  );
  hanging = createExclaim({ database: database.pool, ttlMs: TTL_MS });
  other = createExclaim({ database: database.pool, ttlMs: TTL_MS });
  await hanging.migrate();
});

afterEach(async () => {
  await Promise.all([hanging.close({ drainMs: 0 }), other.close({ drainMs: 0 })]);
  await database.drop();
});

describe("a handler that hangs inside complete()", () => {
  // Planted: no idle limit on the transaction; this test failed, the claim was contended for ever.
  it("L2 is ended by the server, so that another process serves its claimant while the handler still hangs", async () => {
    const never = gate();
    const started = gate();
    let pid = 0;
    const hung = pool(hanging).claim({ claimant: "7", maxHoldMs: 100 }, async (claim) => {
      await claim.complete(async (tx) => {
        pid = (await tx.query<{ pid: number }>("select pg_backend_pid() as pid")).rows[0]?.pid ?? 0;
        started.open();
        await never.opened;
      });
    });
    await started.opened;

    const resumed = await eventually(
      async () => {
        const outcome = await pool(other).claim({ claimant: "7" }, async (claim) => [claim.key, String(claim.token)]);
        expect(outcome.status).toBe("completed");
        return outcome;
      },
      { timeoutMs: 10_000, what: "the other process's turn" },
    );
    await eventually(async () => expect(await isConnected(pid)).toBe(false), { what: "the end of the hung connection" });
    never.open();

    expect(pid).toBeGreaterThan(0);
    expect(resumed).toEqual({ status: "completed", result: ["1", "2"] });
    expect((await hung).status).not.toBe("completed");
  });

  // Planted: close() that waits for the claim's row; this test failed at its deadline.
  it("does not keep close() waiting beyond the drain and the grace", async () => {
    const never = gate();
    const started = gate();
    // The default ttl, whose statements have ten seconds: whoever waits for the row waits for longer than this test does.
    const patient = createExclaim({ database: database.pool });
    void pool(patient).claim({ claimant: "7" }, async (claim) => {
      await claim.complete(async (tx) => {
        started.open();
        await tx.query("select pg_sleep(20)");
        await never.opened;
      });
    });
    await started.opened;
    let isClosed = false;

    void patient.close({ drainMs: 0 }).then(() => {
      isClosed = true;
    });

    await eventually(() => expect(isClosed).toBe(true), { timeoutMs: 6_000, what: "close()" });
    await database.pool.query("select pg_cancel_backend(pid) from pg_stat_activity where wait_event = 'PgSleep'");
    never.open();
  });
});

async function isConnected(pid: number): Promise<boolean> {
  const { rowCount } = await database.pool.query("select from pg_stat_activity where pid = $1", [pid]);
  return rowCount !== 0;
}

function pool(exclaim: Exclaim): Pool {
  return exclaim.pool({ table: "voucher_item", ownerColumn: "user_id", orderBy: "id" });
}
