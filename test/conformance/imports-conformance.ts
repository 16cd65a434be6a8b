import { describe, expect, it } from "vitest";
import { thrownBy } from "../ledger/ledger-database.ts";
import {
  type CreateImports,
  chunkOf,
  endOf,
  ID,
  invalid,
  linesOf,
  openImports,
  outcome,
  refused,
  row,
  rowsOf,
  START,
} from "./imports/fixture.ts";

/**
 * The rules of the imports, run once for each: `importsConformance("memory", create)`. `create` is called once a test.
 *
 * - F1 what a broker would not take is rejected, and counted once;
 * - F7 the numbers add up, and each row of the source has one place among them;
 * - F8 a row is one message however often it is read; what an earlier run did is known, and only the newest run does anything;
 * - S5 a row's last outcome stands, and nothing undoes a claim.
 */
export function importsConformance(name: string, create: CreateImports): void {
  describe(`the ${name} imports`, () => {
    it("F8 answer which rows are to be published, and the same again after a lost answer", async () => {
      const { imports } = await openImports(create);
      const chunk = chunkOf(await imports.begin(START), [row("a", 1), row("b", 2), row("a", 3)], [invalid(4)]);

      const first = await imports.record(chunk);
      const again = await imports.record(chunk);

      expect(first).toEqual({ status: "recorded", rows: ["publish", "publish", "duplicated"] });
      expect(again).toEqual(first);
      expect(await imports.get(ID)).toMatchObject({ rows: 4, pending: 2, rejected: 1, duplicated: 1, state: "running" });
    });

    // Planted: a key told as duplicated whenever it is there, so that a resumed run published nothing of its first chunk.
    it("F8 publish what is pending of an earlier run again, and neither what is settled nor a later line of its key", async () => {
      const { imports } = await openImports(create);
      await imports.record(chunkOf(await imports.begin(START), [row("a", 1), row("b", 2)]));
      await imports.settle([outcome("a", { state: "claimed", resourceId: "1" })]);
      const run = await imports.begin(START);

      const answer = await imports.record(chunkOf(run, [row("a", 1), row("b", 2), row("b", 3)]));

      expect(answer).toEqual({ status: "recorded", rows: ["settled", "publish", "duplicated"] });
      expect(await imports.get(ID)).toMatchObject({ rows: 3, claimed: 1, pending: 1, duplicated: 1 });
    });

    it("F8 tell a run that begins where the one before was, and what became of its rows", async () => {
      const { imports } = await openImports(create);
      const first = await imports.begin(START);
      await imports.record({ ...chunkOf(first, [row("a", 1), row("a", 2)], [invalid(3), invalid(4)]), position: 2 });
      await imports.record({ ...chunkOf(first), position: 1 });

      const second = await imports.begin(START);

      expect(first).toEqual({ run: 1n, position: 0, rows: 0, rejected: 0, duplicated: 0, resumed: false });
      expect(second).toEqual({ run: 2n, position: 2, rows: 4, rejected: 2, duplicated: 1, resumed: true });
    });

    it("F8 record nothing for a run that is not the newest, or whose import was cancelled", async () => {
      const { imports } = await openImports(create);
      const older = await imports.begin(START);
      const newer = await imports.begin(START);

      const superseded = await imports.record(chunkOf(older, [row("a", 1)], [invalid(2)]));
      const cancelled = [await imports.cancel(ID), await imports.cancel(ID)];
      const after = await imports.record(chunkOf(newer, [row("a", 1)], [invalid(2)]));
      const ended = [await imports.end(endOf(older)), await imports.end({ ...endOf(newer), rejects: [invalid(2)] })];

      expect([superseded, after]).toEqual([{ status: "superseded" }, { status: "cancelled" }]);
      expect([cancelled, ended]).toEqual([
        [true, false],
        [false, false],
      ]);
      expect(await imports.get(ID)).toMatchObject({ rows: 0, rejected: 0, state: "cancelled" });
      expect(await imports.record({ ...chunkOf(newer), id: "nobody" })).toEqual({ status: "superseded" });
    });

    // Planted: a refused row inserted as a reject and left among the rows. Planted: an end that answers false where it is asked again.
    it("F1 move a row that the broker would not take to the rejected ones, once, with the next chunk or at the end", async () => {
      const { imports } = await openImports(create);
      const run = await imports.begin(START);
      await imports.record(chunkOf(run, [row("a", 1), row("b", 2), row("c", 3)]));
      const ending = { ...endOf(run), position: 3, rejects: [refused("b", 2)] };

      for (let time = 0; time < 2; time += 1) await imports.record(chunkOf(run, [], [refused("c", 3)]));
      const running = await imports.get(ID);
      const ended = [await imports.end(ending), await imports.end(ending)];

      expect(running).toMatchObject({ rows: 3, pending: 2, rejected: 1 });
      expect(ended).toEqual([true, true]);
      expect(await imports.get(ID)).toMatchObject({ rows: 3, pending: 1, rejected: 2, state: "published" });
    });

    // Planted: the reject left where its row comes again: three rows of two.
    it("F7 count a row once that was rejected or duplicated before and is published now", async () => {
      const { imports } = await openImports(create);
      const first = await imports.begin(START);
      await imports.record(chunkOf(first, [row("a", 1), row("a", 2)], [invalid(3)]));
      await imports.end({ ...endOf(first), status: "stopped", rejects: [refused("a", 1)] });

      const answer = await imports.record(chunkOf(await imports.begin(START), [row("a", 2), row("c", 3)]));

      expect(answer).toEqual({ status: "recorded", rows: ["publish", "publish"] });
      expect(await imports.get(ID)).toMatchObject({ rows: 3, pending: 2, rejected: 1, duplicated: 0 });
      expect(await linesOf(imports)).toEqual(["1 rejected", "2 pending", "3 pending"]);
    });

    it("F7 leave a row what it has become when its broker says afterwards that it was refused", async () => {
      const { imports } = await openImports(create);
      const run = await imports.begin(START);
      await imports.record(chunkOf(run, [row("a", 1)]));
      await imports.settle([outcome("a", { state: "claimed", resourceId: "1" })]);

      await imports.record(chunkOf(run, [], [refused("a", 1)]));

      expect(await imports.get(ID)).toMatchObject({ rows: 1, claimed: 1, rejected: 0 });
    });

    it("S5 keep of a row the last that was told, but nothing undoes a claim", async () => {
      const { imports } = await openImports(create);
      await imports.record(chunkOf(await imports.begin(START), [row("a", 1), row("b", 2), row("c", 3), row("d", 4)]));
      await imports.settle([
        outcome("a", { state: "dead-lettered", code: "HANDLER_ERROR", reason: "boom" }),
        outcome("b", { state: "claimed", resourceId: "2" }),
        outcome("b", { state: "dead-lettered", code: "HANDLER_ERROR", reason: "late" }),
        outcome("b", { state: "replayed", resourceId: "9" }),
        outcome("a", { state: "refused", code: "REFUSED", reason: "empty" }),
        outcome("c", { state: "replayed", resourceId: "3" }),
        outcome("nobody", { state: "claimed", resourceId: "9" }),
        { ...outcome("a", { state: "claimed" }), importId: "another" },
      ]);
      const first = await linesOf(imports);

      await imports.settle([
        outcome("a", { state: "claimed", resourceId: "1" }),
        outcome("b", { state: "refused", reason: "no" }),
        outcome("c", { state: "claimed", resourceId: "4" }),
      ]);

      expect(first).toEqual(["1 refused", "2 claimed 2", "3 replayed 3", "4 pending"]);
      expect(await linesOf(imports)).toEqual(["1 claimed 1", "2 claimed 2", "3 replayed 3", "4 pending"]);
      expect(await imports.get(ID)).toMatchObject({
        rows: 4,
        pending: 1,
        claimed: 2,
        replayed: 1,
        refused: 0,
        deadLettered: 0,
      });
    });

    it("S5 change nothing when the same outcomes are told again, and take none at all", async () => {
      const { imports } = await openImports(create);
      await imports.record(chunkOf(await imports.begin(START), [row("a", 1)]));
      const outcomes = [outcome("a", { state: "refused", code: "REFUSED", reason: "empty" })];
      await imports.settle(outcomes);
      const before = await rowsOf(imports);

      await imports.settle([]);
      await imports.settle(outcomes);

      expect(before[0]?.settledAt).toBeInstanceOf(Date);
      expect(await rowsOf(imports)).toEqual(before);
    });

    it("F7 are finished once published and settled, and run again once begun again", async () => {
      const { imports } = await openImports(create);
      const run = await imports.begin(START);
      await imports.record(chunkOf(run, [row("a", 1)]));
      await imports.end(endOf(run));
      const published = await imports.get(ID);
      await imports.settle([outcome("a", { state: "dead-lettered", code: "HANDLER_ERROR", reason: "boom" })]);
      const finished = await imports.get(ID);
      await imports.begin(START);
      const again = await imports.get(ID);

      expect([published?.state, finished?.state, again?.state]).toEqual(["published", "finished", "running"]);
      expect(published?.publishedAt).toBeInstanceOf(Date);
      expect(again).toMatchObject({ publishedAt: undefined, reason: undefined, rows: 1, deadLettered: 1 });
    });

    it("F7 report every row in the order of its lines, with all that is known of it", async () => {
      const { imports } = await openImports(create);
      const longKey = { rowKey: "~digest", key: "Жетон 💥 / 1", line: 12 };
      const run = await imports.begin(START);
      await imports.record(chunkOf(run, [longKey, row("b", 3), row("b", 5)], [invalid(4)]));
      await imports.settle([outcome("b", { state: "refused", code: "REFUSED", reason: "no vouchers left" })]);

      const rows = await rowsOf(imports);

      const nothing = { pool: undefined, resourceId: undefined, code: undefined, reason: undefined, settledAt: undefined };
      const settled = { ...nothing, pool: "voucher_item", settledAt: expect.any(Date) };
      expect(rows).toEqual([
        { ...settled, line: 3, key: "b", state: "refused", code: "REFUSED", reason: "no vouchers left" },
        { ...nothing, line: 4, key: undefined, state: "rejected", code: "ROW_INVALID", reason: "no name" },
        { ...nothing, line: 5, key: "b", state: "duplicated", code: "ROW_DUPLICATED", reason: "its key is that of line 3" },
        { ...nothing, line: 12, key: "Жетон 💥 / 1", state: "pending" },
      ]);
    });

    it("go on only with the source they began with, and keep the settings that were given last", async () => {
      const { imports } = await openImports(create);
      await imports.begin({ ...START, fingerprint: "one", settings: { key: "id", map: { a: "b" } } });

      const error = await thrownBy(imports.begin({ ...START, source: "b.csv", fingerprint: "two", settings: { key: "x" } }));
      const unchecked = await imports.begin(START);
      const stillOther = await thrownBy(imports.begin({ ...START, fingerprint: "two" }));

      expect([error.code, stillOther.code, unchecked.resumed]).toEqual(["IMPORT_MISMATCH", "IMPORT_MISMATCH", true]);
      expect(await imports.get(ID)).toMatchObject({ source: START.source, settings: { key: "id", map: { a: "b" } } });
    });

    it("list the newest first, as many as are asked for", async () => {
      const { imports } = await openImports(create);
      for (const id of ["first", "second", "third"]) {
        await imports.record({ ...chunkOf(await imports.begin({ ...START, id }), [row("a", 1)]), id });
      }

      const all = await imports.list();
      const two = await imports.list({ limit: 2 });

      expect(all.map(({ id, pending }) => [id, pending])).toEqual([
        ["third", 1],
        ["second", 1],
        ["first", 1],
      ]);
      expect(two.map(({ id }) => id)).toEqual(["third", "second"]);
      expect(await thrownBy(imports.list({ limit: 0 }))).toMatchObject({ code: "CONFIG_INVALID" });
    });

    it("are forgotten with all their rows, unless they run", async () => {
      const { imports } = await openImports(create);
      const run = await imports.begin(START);
      await imports.record(chunkOf(run, [row("a", 1)], [invalid(2)]));

      const whileRunning = await imports.forget(ID);
      await imports.end({ ...endOf(run), status: "stopped", reason: "a signal" });
      const stopped = await imports.get(ID);
      const afterwards = [await imports.forget(ID), await imports.forget(ID)];
      const anew = await imports.begin(START);

      expect([whileRunning, afterwards]).toEqual([false, [true, false]]);
      expect(stopped).toMatchObject({ state: "stopped", reason: "a signal", rows: 2 });
      expect(anew).toEqual({ run: 1n, position: 0, rows: 0, rejected: 0, duplicated: 0, resumed: false });
      expect(await rowsOf(imports)).toEqual([]);
    });

    it("refuse an id that cannot be one, and report none that nobody knows", async () => {
      const { imports } = await openImports(create);
      const id = "a b";

      const unusable = await Promise.all(
        [imports.get(id), imports.cancel(id), imports.forget(id), imports.begin({ ...START, id }), rowsOf(imports, id)].map(
          (call) => thrownBy(call),
        ),
      );

      expect(new Set(unusable.map(({ code }) => code))).toEqual(new Set(["CONFIG_INVALID"]));
      expect(unusable[0]?.message).toContain("1 to 64 letters");
      expect(await thrownBy(rowsOf(imports, "nobody"))).toMatchObject({ code: "IMPORT_UNKNOWN" });
      expect([await imports.get("nobody"), await imports.cancel("nobody"), await imports.forget("nobody")]).toEqual([
        null,
        false,
        false,
      ]);
    });
  });
}
