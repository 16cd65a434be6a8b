import type pg from "pg";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { ClaimRef, Transaction } from "../../src/ledger/ledger.ts";
import type { PoolDefinition } from "../../src/ledger/pool-definition.ts";
import { type LedgerDatabase, ledgerDatabase, type TestLedger, thrownBy } from "./ledger-database.ts";

let database: LedgerDatabase;
let pool: PoolDefinition;
let claim: ClaimRef;
let ledger: TestLedger["ledger"];
let tables = 0;

beforeAll(async () => {
  database = await ledgerDatabase();
});

afterAll(() => database.drop());

/** One claim, and a ledger with one connection: what is not given back, or taken twice, is missed at once. */
beforeEach(async () => {
  tables += 1;
  pool = { table: `worked_${tables}`, ownerColumn: "user_id" };
  await database.sql.query(`create table ${pool.table} (id int primary key, user_id bigint)`);
  await database.sql.query(`insert into ${pool.table} select generate_series(1, 3)`);
  await database.sql.query(`create table note_${tables} (text text unique, late text unique deferrable initially deferred)`);
  const alone = database.openLedger({ max: 1 }, { statementTimeoutMs: 2_000 });
  ({ claim } = await alone.claimed(pool, "7"));
  ledger = alone.ledger;
});

describe("work under the fence", () => {
  it("commits its writes, its messages and its completion together, over one connection", async () => {
    const value = await ledger.transact(
      claim,
      async (tx) => {
        const inserted = await tx.query(`insert into note_${tables} (text) values ($1), ($2) returning text`, ["a", "b"]);
        await tx.publish("noted", { texts: inserted.rows });
        return { count: inserted.rowCount };
      },
      (result) => JSON.stringify(result),
    );

    expect(value).toEqual({ count: 2 });
    expect(await notes()).toEqual(["a", "b"]);
    expect(await messages()).toEqual([{ topic: "noted", payload: { texts: [{ text: "a" }, { text: "b" }] } }]);
    expect(await replay()).toEqual({ status: "replayed", result: '{"count":2}' });
  });

  it("leaves the claim held when it does not complete", async () => {
    await ledger.transact(claim, (tx) => note(tx, "a"));

    expect(await notes()).toEqual(["a"]);
    expect(await ledger.find(pool, {}, "7")).toMatchObject({ status: "held", claim });
  });

  it("is undone whole when it throws, and what it threw is passed on as it is", async () => {
    const failure = new TypeError("no such user");

    const thrown = ledger.transact(claim, async (tx) => {
      await note(tx, "a");
      await tx.publish("noted", null);
      throw failure;
    });

    await expect(thrown).rejects.toBe(failure);
    await nothingHappened();
  });

  it("is undone whole when its result cannot be made, and what that threw is passed on as it is", async () => {
    const failure = new Error("no JSON");

    const thrown = ledger.transact(
      claim,
      (tx) => note(tx, "a"),
      () => {
        throw failure;
      },
    );

    await expect(thrown).rejects.toBe(failure);
    await nothingHappened();
  });

  it("passes on an error of its own statement with the database's code", async () => {
    const thrown = ledger.transact(claim, async (tx) => {
      await note(tx, "a");
      await note(tx, "a");
    });

    await expect(thrown).rejects.toMatchObject({ code: "23505" });
    await nothingHappened();
  });

  it("passes on what the driver says of a value that cannot be sent", async () => {
    const cycle: Record<string, unknown> = {};
    cycle.self = cycle;

    await expect(ledger.transact(claim, (tx) => tx.query("select $1::json", [cycle]))).rejects.toThrow(TypeError);
    await nothingHappened();
  });

  it("passes on the database's refusal at COMMIT with the database's code", async () => {
    const thrown = ledger.transact(claim, (tx) => tx.query(`insert into note_${tables} (late) values ('a'), ('a')`));

    await expect(thrown).rejects.toMatchObject({ code: "23505", constraint: `note_${tables}_late_key` });
    await nothingHappened();
  });
});

describe("work that swallows the error of a statement", () => {
  const swallowing = async (tx: Transaction): Promise<void> => {
    await note(tx, "a");
    await tx.query("select 1 / 0").catch(() => {});
  };

  it("S4 is told TRANSACTION_ABORTED, since the database has rolled all of it back", async () => {
    const error = await thrownBy(ledger.transact(claim, swallowing));

    expect(error).toMatchObject({ code: "TRANSACTION_ABORTED", message: expect.stringContaining("let the error through") });
    await nothingHappened();
  });

  it("S4 is told TRANSACTION_ABORTED when it is to complete the claim, which it then does not", async () => {
    const error = await thrownBy(ledger.transact(claim, swallowing, () => '"done"'));

    expect(error.code).toBe("TRANSACTION_ABORTED");
    await nothingHappened();
  });

  it("goes on when it went back to a savepoint of its own", async () => {
    await ledger.transact(claim, async (tx) => {
      await note(tx, "a");
      await tx.query("savepoint before");
      await tx.query("select 1 / 0").catch(() => tx.query("rollback to savepoint before"));
      await note(tx, "b");
    });

    expect(await notes()).toEqual(["a", "b"]);
  });
});

describe("work that ends the transaction itself", () => {
  // Planted: no look at where the server says the connection is: the note was written past the fence, and the work resolved.
  for (const statement of ["rollback", "commit"]) {
    it(`S4 is told TRANSACTION_ABORTED at its ${statement}, and can write nothing after it, even if it swallows that`, async () => {
      const codes: string[] = [];

      const error = await thrownBy(
        ledger.transact(
          claim,
          async (tx) => {
            codes.push((await thrownBy(tx.query(statement))).code);
            codes.push((await thrownBy(note(tx, "unfenced"))).code);
          },
          () => '"done"',
        ),
      );

      expect([error.code, ...codes]).toEqual(["TRANSACTION_ABORTED", "TRANSACTION_ABORTED", "CLAIM_ENDED"]);
      await nothingHappened();
    });
  }

  it("S4 is told TRANSACTION_ABORTED and completes nothing when it did so on the raw connection", async () => {
    const error = await thrownBy(
      ledger.transact(
        claim,
        async (tx) => {
          await (tx.client as pg.PoolClient).query("rollback");
        },
        () => '"done"',
      ),
    );

    expect(error.code).toBe("TRANSACTION_ABORTED");
    await nothingHappened();
  });
});

describe("work that is over", () => {
  // Planted: a transaction that never closes: the note was written outside of it, past the fence, on a connection of the pool.
  it("S4 can write and publish nothing more through the transaction it kept", async () => {
    const kept: Transaction[] = [];
    await ledger.transact(claim, async (tx) => {
      kept.push(tx);
    });
    const [tx] = kept;
    if (tx === undefined) throw new Error("The work was not run.");

    const errors = [await thrownBy(note(tx, "late")), await thrownBy(tx.publish("late", null))];

    expect(errors.map(({ code }) => code)).toEqual(["CLAIM_ENDED", "CLAIM_ENDED"]);
    expect([await notes(), await messages()]).toEqual([[], []]);
  });

  it("is refused when its claim has ended: completed, failed or released", async () => {
    const codes = [];
    const claims = [claim];
    for (const claimant of ["8", "9"]) claims.push(await claimOf(claimant));
    const [completed, failed, released] = claims;
    if (completed === undefined || failed === undefined || released === undefined)
      throw new Error("Three claims were asked for.");
    await ledger.complete([{ claim: completed, result: undefined }]);
    await ledger.fail([failed]);
    await ledger.release(pool, [released]);

    for (const ended of claims) codes.push((await thrownBy(ledger.transact(ended, (tx) => note(tx, "late")))).code);

    expect(codes).toEqual(["FENCED", "FENCED", "FENCED"]);
    expect(await notes()).toEqual([]);
  });

  it("is fenced when it completed its claim itself in between", async () => {
    const error = await thrownBy(
      ledger.transact(
        claim,
        async (tx) => {
          await note(tx, "a");
          await tx.query("update exclaim.claims set status = 'completed', leased_until = null where pool = $1", [claim.pool]);
        },
        () => '"again"',
      ),
    );

    expect(error.code).toBe("FENCED");
    await nothingHappened();
  });
});

async function note(tx: Transaction, text: string): Promise<void> {
  await tx.query(`insert into note_${tables} (text) values ($1)`, [text]);
}

function notes(): Promise<unknown[]> {
  return database.column(`select text from note_${tables} order by text`);
}

async function messages(): Promise<unknown[]> {
  return (await database.sql.query("select topic, payload from exclaim.outbox where pool = $1", [claim.pool])).rows;
}

async function replay() {
  const request = { scope: {}, claimant: "7", holder: "replaying", messageId: null, pick: null };
  const [answer] = await ledger.claim({ pool, ttlMs: 30_000, rerun: false, requests: [request] });
  return answer;
}

async function claimOf(claimant: string): Promise<ClaimRef> {
  return (await database.ledger.claimed(pool, claimant)).claim;
}

/** Asked over the ledger's one connection: it came back, and is in no transaction. */
async function nothingHappened(): Promise<void> {
  expect(await ledger.renew([claim], 30_000)).toEqual(["done"]);
  expect([await notes(), await messages()]).toEqual([[], []]);
  expect(await ledger.find(pool, {}, "7")).toMatchObject({ status: "held", claim });
}
