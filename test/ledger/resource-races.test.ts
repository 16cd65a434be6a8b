import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { TakeRequest } from "../../src/ledger/resource-ledger.ts";
import { asHeld, type ResourceDriver } from "../conformance/resource/fixture.ts";
import { eventually } from "../support/eventually.ts";
import { openConnections, recording } from "./ledger-database.ts";
import { closeGate, createGate, pausingAt } from "./pause.ts";
import { type ResourceDatabase, resourceDatabase, resourcesOver } from "./resource-database.ts";

/** What a database, a role or a connection may be set to; the ledger's statements are written for the first. */
const ISOLATIONS = ["read committed", "repeatable read", "serializable"];

let database: ResourceDatabase;
let driver: ResourceDriver;
const role = `exclaim_pausing_${process.pid}`;
let key: string;
let tests = 0;

/** A role whose statements ask the gate of every lease they look at: the policy of a table is asked after the snapshot is taken. */
beforeAll(async () => {
  database = await resourceDatabase();
  driver = database.resources;
  await createGate(database);
  await database.sql.query(`create role ${role};
    grant usage on schema exclaim to ${role};
    grant all on all tables in schema exclaim to ${role};
    alter table exclaim.leases enable row level security;
    create policy gate on exclaim.leases to ${role} using (gate(key)) with check (true)`);
});

afterAll(async () => {
  await database.sql.query(`drop owned by ${role}; drop role ${role}`);
  await database.drop();
});

beforeEach(() => {
  tests += 1;
  key = `key-${tests}`;
});

for (const isolation of ISOLATIONS) {
  const level = `-c default_transaction_isolation=${isolation.replace(" ", "\\ ")}`;
  const paused = (): ResourceDriver => database.openResources({ options: `${pausingAt().options} ${level} -c role=${role}` });

  describe(`between a statement's snapshot and its locks, under ${isolation}`, () => {
    // Planted: the token counted from the lease as it was known (`known.token + 1`) instead of as it was locked: token 2 again.
    it("S3 a key that is taken and ended meanwhile is taken with a token above", async () => {
      await driver.end((await driver.held(key)).lease);
      const gate = await closeGate(database);
      const taking = paused().held(key);
      await gate.isWaitedAt();
      for (let turn = 0; turn < 2; turn += 1) await driver.end((await driver.held(key)).lease);

      await gate.open();

      expect((await taking).lease.token).toBe(4n);
    });

    // Planted: `free` judged by the lease as it was known: both held the key.
    for (const mode of ["exclusive", "shared"] as const) {
      it(`R1 a key that somebody takes for long meanwhile is contended: ${mode}`, async () => {
        await driver.end((await driver.held(key)).lease);
        const gate = await closeGate(database);
        const taking = paused().take(key, { mode });
        await gate.isWaitedAt();
        const { lease } = await driver.held(key);

        await gate.open();

        expect(await taking).toMatchObject({ status: "contended", tooEarly: false });
        expect(await driver.renew(lease)).toBe("done");
      });
    }

    it("R5 a key that is taken, ended and left to rest meanwhile is told too early", async () => {
      await driver.end((await driver.held(key)).lease);
      const gate = await closeGate(database);
      const taking = paused().contended(key);
      await gate.isWaitedAt();
      await driver.end((await driver.held(key, { spacing: { from: "start", minIntervalMs: 30_000 } })).lease);

      await gate.open();
      const answer = await taking;

      expect(answer.tooEarly).toBe(true);
      expect(answer.retryAfterMs).toBeGreaterThan(20_000);
    });

    // Planted: shared_until() read as a join of the statement, by its snapshot: the key was exclusive beside the sharer.
    it("R7 a sharer that renews a lease that was over keeps an exclusive take out", async () => {
      const { lease } = await driver.held(key, { mode: "shared", ttlMs: 1 });
      await leasesAreOver();
      const gate = await closeGate(database);
      const taking = paused().take(key);
      await gate.isWaitedAt();
      const renewed = await driver.renew(lease, 30_000);

      await gate.open();
      const answer = await taking;

      expect(renewed).toBe("done");
      expect(answer.status).toBe("contended");
      expect(await driver.renew(lease)).toBe("done");
    });

    // Planted: a group that is joined is not written to (`touched`): under the stricter levels the key was exclusive beside the sharer.
    it("R7 a sharer that joins while the group lives keeps an exclusive take out that began before and reads the clock after", async () => {
      const first = await driver.held(key, { mode: "shared", ttlMs: 400 });
      const gate = await closeGate(database);
      const taking = paused().take(key);
      await gate.isWaitedAt();
      const joined = await driver.held(key, { mode: "shared", ttlMs: 30_000 });
      await eventually(async () => {
        expect(await liveHolders()).toEqual([joined.lease.holder]);
      });

      await gate.open();
      const answer = await taking;

      expect(joined.lease.token).toBe(first.lease.token);
      expect(answer.status).toBe("contended");
      expect(await driver.renew(joined.lease)).toBe("done");
    });

    // Planted: joining by the group's token as it was known, without locking the lease: shared beside an exclusive lease.
    it("R7 nobody joins a group that ended and made way for an exclusive lease", async () => {
      const { lease } = await driver.held(key, { mode: "shared" });
      const gate = await closeGate(database);
      const joining = paused().take(key, { mode: "shared" });
      await gate.isWaitedAt();
      await driver.end(lease);
      const exclusive = await driver.held(key);

      await gate.open();

      expect((await joining).status).toBe("contended");
      expect(await driver.lease(key)).toMatchObject({ status: "held", sharers: 0 });
      expect(await driver.renew(exclusive.lease)).toBe("done");
    });

    for (const mode of ["exclusive", "shared"] as const) {
      // Planted: `newest` judged by the lease as it was known: the renewal and the end were told done, and the end ended the newer lease.
      for (const what of ["renewal", "end"] as const) {
        it(`S4 a ${what} that meets a take of its lease is lost: ${mode}`, async () => {
          const { lease } = await driver.held(key, { mode, ttlMs: 1 });
          await leasesAreOver();
          const gate = await closeGate(database);
          const pod = paused();
          const changing = what === "end" ? pod.end(lease) : pod.renew(lease, 30_000);
          await gate.isWaitedAt();
          const newest = await driver.held(key);

          await gate.open();

          expect(await changing).toBe("lost");
          expect(await driver.renew(newest.lease)).toBe("done");
        });
      }
    }
  });

  describe(`a key that many pass on, under ${isolation}`, () => {
    it("S3 has tokens that grow by one in the order in which their takes commit", async () => {
      await database.sql.query(`create table history_${tests} (place bigint generated always as identity, token bigint)`);
      // Written at COMMIT under the row's lock, so that the places are in commit order.
      await database.sql.query(`create function note_${tests}() returns trigger language plpgsql as $$ begin
        insert into history_${tests} (token) values (new.token); return null; end $$`);
      await database.sql.query(`create constraint trigger note_${tests} after insert or update on exclaim.leases
        deferrable initially deferred
        for each row when (new.status = 'held' and new.key = '${key}') execute function note_${tests}()`);
      const pods = Array.from({ length: 20 }, () => database.openResources({ options: level, max: 1 }));

      await Promise.all(
        pods.map(async (pod) => {
          for (let turn = 0; turn < 10; turn += 1) {
            const lease = await eventually(async () => asHeld(await pod.take(key)).lease, { timeoutMs: 25_000 });
            // A strict level can refuse the end as well; the lease then stays until it is told again.
            await eventually(async () => (await driver.end(lease)) === "done");
          }
        }),
      );

      const history = await database.column(`select token::int from history_${tests} order by place`);
      await database.sql.query(`drop trigger note_${tests} on exclaim.leases`);
      expect(history).toEqual(Array.from({ length: 200 }, (_, index) => index + 1));
    });

    it("R7 is never exclusive beside anybody", async () => {
      const pods = Array.from({ length: 6 }, () => database.openResources({ options: level, max: 1 }));
      const holding = { exclusive: 0, shared: 0 };
      const wrong: unknown[] = [];
      const turn = async (pod: ResourceDriver, mode: TakeRequest["mode"]): Promise<void> => {
        const { lease } = await eventually(async () => asHeld(await pod.take(key, { mode })), { timeoutMs: 25_000 });
        holding[mode] += 1;
        if (holding.exclusive > 1 || (holding.exclusive === 1 && holding.shared > 0)) wrong.push({ ...holding });
        await pod.renew(lease).catch(() => {});
        holding[mode] -= 1;
        await eventually(async () => (await driver.end(lease)) === "done");
      };

      await Promise.all(
        pods.map(async (pod, index) => {
          for (let count = 0; count < 8; count += 1) await turn(pod, (index + count) % 3 === 0 ? "exclusive" : "shared");
        }),
      );

      expect(wrong).toEqual([]);
    });
  });
}

describe("readers who come to a living group at the same moment", () => {
  // Planted: joins that pass over a lease which another join has locked: some were told to come back.
  it("R7 are all let in at once", async () => {
    await driver.held(key, { mode: "shared" });
    const pods = Array.from({ length: 20 }, () => database.openResources({ max: 1 }));
    await Promise.all(pods.map((pod, index) => pod.held(`${key} ${index}`)));

    for (let round = 0; round < 10; round += 1) {
      const answers = await Promise.all(pods.map((pod) => pod.take(key, { mode: "shared" })));

      expect(answers.map(({ status }) => status)).toEqual(Array(20).fill("held"));
    }
  });
});

describe("batches of many processes that name the same keys in different orders and modes", () => {
  // Planted: leases locked in the order of the request; a group's lease locked by the statement's own snapshot and then updated
  // (`steady` as select for no key update, then `touched`); keys added after leases are locked. Each: 40P01 within some hundred turns on
  // a busy machine.
  it("wait for each other in no ring: nothing deadlocks while they take, join, renew, write and end", async () => {
    const keys = Array.from({ length: 15 }, (_, index) => `${key} ${index}`);
    const records = [1, 2, 3, 4, 5, 6].map(() => recording(openConnections({ connectionString: database.url, max: 3 })));

    await Promise.all(
      records.map(async (record, index) => {
        const pod = resourcesOver(database.sql, record.database);
        for (let turn = 0; turn < 200; turn += 1) {
          const order = index % 2 === 0 ? keys : keys.toReversed();
          const start = (turn * 7 + index * 3) % keys.length;
          const batch = [...order.slice(start), ...order.slice(0, start)].slice(0, 12);
          const mode = (turn + index) % 3 === 0 ? "exclusive" : "shared";
          const answers = await pod.takeMany(batch, { mode, ttlMs: turn % 4 === 0 ? 1 : 30_000 });
          const leases = answers.flatMap((answer) => (answer.status === "held" ? [answer.lease] : []));
          await pod.fixture.ledger.renew(leases.toReversed(), 30_000);
          const [first] = leases;
          if (first !== undefined) await pod.fixture.ledger.transact(first, async () => {}, { ends: true }).catch(() => {});
          await pod.fixture.ledger.end(leases.toReversed().map((lease) => ({ lease, how: "completed" })));
          if (turn % 5 === index % 5) await database.sql.query("select exclaim.forget_leases('0 s', 5)");
        }
      }),
    );

    expect(records.flatMap(({ failures }) => failures)).toEqual([]);
  });
});

async function leasesAreOver(): Promise<void> {
  await eventually(async () => {
    expect(await liveHolders()).toEqual([]);
  });
}

function liveHolders(): Promise<unknown[]> {
  return database.column(
    `select holder from exclaim.leases where key = $1 and leased_until > clock_timestamp()
     union all select holder from exclaim.lease_sharers where key = $1 and leased_until > clock_timestamp()`,
    [key],
  );
}
