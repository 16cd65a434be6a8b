import { describe, expect, it } from "vitest";
import type { Claim } from "../../../src/claim/claim.ts";
import type { Pool } from "../../../src/claim/pool.ts";
import { ExclaimError } from "../../../src/errors.ts";
import { importMessageId } from "../../../src/ledger/import-message-id.ts";
import { ScriptedPool, type Voucher } from "../../queue/scripted-pool.ts";
import type { FreshDatabase } from "../../support/postgres.ts";
import {
  claimant,
  completed,
  contended,
  type EngineBench,
  openBench,
  openBroker,
  type QueueSetup,
  SOON,
  serveScripted,
  type TestMessage,
} from "./fixture.ts";

const down = new ExclaimError("DATABASE_UNREACHABLE", "connect ECONNREFUSED");

/** Messages made of the rows of a bulk import: what became of each row is known before the broker forgets its message. */
export function accountingRules(setup: QueueSetup, migrated: () => FreshDatabase): void {
  describe("messages of an import", () => {
    // Planted: the end of a replay told as the handler's, and a refusal told as any error: the second and fourth row.
    it("S6 tell it of each row what became of it: claimed, replayed, refused, dead-lettered", async () => {
      const bench = await openBench(setup, migrated(), { rows: 2 });
      const { broker, pool } = bench;
      const rows = await importOf(bench, ["first", "again", "faulty", "late", "nameless"]);
      const handler = async ({ data }: TestMessage, claim: Claim<Voucher>) => {
        if (data.user_id === 9) throw new Error("no such address");
        return { code: claim.row.code };
      };
      await broker.serve(handler, { pool, claimant });

      const ids = [
        await broker.send({ user_id: 7 }, rows.messageId("first")),
        await broker.send({ user_id: 7 }, rows.messageId("again")),
        await broker.send({ user_id: 9 }, rows.messageId("faulty")),
        await broker.send({ user_id: 8 }, rows.messageId("late")),
        await broker.send({}, rows.messageId("nameless")),
      ];
      for (const id of ids) await broker.ended(id);

      expect(await rows.read()).toMatchObject([
        { row_key: "first", state: "claimed", pool: pool.name, resource_id: "1", code: null },
        { row_key: "again", state: "replayed", pool: pool.name, resource_id: "1", code: null },
        { row_key: "faulty", state: "dead-lettered", resource_id: null, code: "HANDLER_ERROR", reason: "no such address" },
        { row_key: "late", state: "refused", resource_id: null, code: "REFUSED", reason: "empty: the pool has no free row" },
        { row_key: "nameless", state: "dead-lettered", code: "CLAIMANT_MISSING" },
      ]);
    });

    // Planted: an attempt that failed told as the end: `dead-lettered` while it waited.
    it("leave their row pending while an attempt is left, and keep their import over the detour", async () => {
      const bench = await openBench(setup, migrated(), { attempts: 2 });
      const { broker, pool } = bench;
      const rows = await importOf(bench, ["first"]);
      const meanwhile: unknown[] = [];
      const handler = async (_message: TestMessage, claim: Claim<Voucher>) => {
        if (claim.attempt === 1) throw new Error("try again");
        meanwhile.push(...(await rows.read()));
        return { code: claim.row.code };
      };
      await broker.serve(handler, { pool, claimant });

      const id = await broker.send({ user_id: 7 }, rows.messageId("first"));

      expect(await broker.ended(id)).toEqual(completed(setup, { code: "A" }));
      expect(meanwhile).toMatchObject([{ state: "pending", resource_id: null }]);
      expect(await rows.read()).toMatchObject([{ state: "claimed", resource_id: "1" }]);
    });

    // Planted: every delivery told as an end: the first, which was put off, was accounted too.
    it("B8 are accounted at their end alone, however often they are put off before", async () => {
      const broker = await openBroker(setup);
      const pool = new ScriptedPool(contended, contended, "run");
      await serveScripted(broker, pool, { onContended: SOON });

      const id = await broker.send({ user_id: 7 }, importMessageId({ importId: anImport(), rowKey: "7" }));

      expect(await broker.ended(id)).toEqual(completed(setup, { code: "SUMMER-1" }));
      expect(pool.accounted).toEqual([{ messageId: id, claimant: "7", end: { status: "completed", resourceId: "1" } }]);
    });

    // Planted: accounted after the broker was told: the row stayed pending; and every replay told as one: it was `replayed`.
    it("S5 are not settled while that cannot be recorded: they come back, replay, and their row is claimed", async () => {
      const bench = await openBench(setup, migrated());
      const { broker } = bench;
      const rows = await importOf(bench, ["first"]);
      const { pool, calls } = failingOnce(bench.pool);
      const runs: string[] = [];
      const handler = async (_message: TestMessage, claim: Claim<Voucher>) => {
        runs.push(claim.key);
        return { code: claim.row.code };
      };
      await broker.serve(handler, { pool, claimant });

      const id = await broker.send({ user_id: 7 }, rows.messageId("first"));

      expect(await broker.ended(id)).toEqual(completed(setup, { code: "A" }));
      expect(calls).toEqual(["completed", "replayed"]);
      expect(runs).toEqual(["1"]);
      expect(await rows.read()).toMatchObject([{ state: "claimed", resource_id: "1" }]);
      expect(broker.errors).toMatchObject([{ code: "DATABASE_UNREACHABLE" }]);
    });

    it("tell it that a key was worked on, or that a rule let them go without", async () => {
      const bench = await openBench(setup, migrated());
      const { broker, exclaim, resource } = bench;
      const rows = await importOf(bench, ["first", "dropped"]);
      const own = exclaim.resource(resource);
      const handler = async ({ data }: TestMessage) => {
        if (data.user_id === 7) await broker.ended(await broker.send({ user_id: 7 }, rows.messageId("dropped")));
      };
      await broker.serveKeys(handler, { resource: own, key: claimant, onContended: { do: "drop" } }, 2);

      await broker.ended(await broker.send({ user_id: 7 }, rows.messageId("first")));

      expect(await rows.read()).toMatchObject([
        { row_key: "first", state: "claimed", pool: resource, resource_id: "7" },
        { row_key: "dropped", state: "refused", pool: resource, resource_id: null, code: "REFUSED" },
      ]);
    });
  });

  describe("messages of no import", () => {
    it("ask nobody to account for them", async () => {
      const broker = await openBroker(setup);
      const pool = new ScriptedPool("run", { status: "empty" });
      await serveScripted(broker, pool);

      for (const user_id of [7, 8]) await broker.ended(await broker.send({ user_id }));

      expect(pool.requests).toHaveLength(2);
      expect(pool.accounted).toEqual([]);
    });
  });
}

/** A pool whose first account of a row does not arrive, and the ends that it was told. */
function failingOnce(pool: Pool<Voucher>): { readonly pool: Pool<Voucher>; readonly calls: string[] } {
  const calls: string[] = [];
  const accountRow: Pool["accountRow"] = async (note) => {
    calls.push(note.end.status);
    if (calls.length === 1) throw down;
    await pool.accountRow(note);
  };
  return { calls, pool: { ...pool, accountRow } };
}

let imports = 0;

/** The id of an import that no other test names. */
function anImport(): string {
  imports += 1;
  return `import-${imports}`;
}

/** An import with these rows, in this order, whose messages are with the broker. */
async function importOf({ database }: EngineBench, rowKeys: readonly string[]) {
  const importId = anImport();
  await database.query(
    `insert into exclaim.imports (id, source, target, status, run, rows, position, published_at)
     values ($1, 'rows.csv', 'queue', 'published', 1, $2, $2, now())`,
    [importId, rowKeys.length],
  );
  await database.query(
    `insert into exclaim.import_rows (import_id, row_key, line)
     select $1, row_key, line from unnest($2::text[]) with ordinality as i (row_key, line)`,
    [importId, rowKeys],
  );
  return {
    messageId: (rowKey: string): string => importMessageId({ importId, rowKey }),
    async read(): Promise<Record<string, unknown>[]> {
      const read =
        "select row_key, state, pool, resource_id, code, reason from exclaim.import_rows where import_id = $1 order by line";
      return (await database.query(read, [importId])).rows;
    },
  };
}
