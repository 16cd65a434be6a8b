import { describe, expect, it, onTestFinished } from "vitest";
import type { DeadLetter, DeadLetters } from "../../src/ledger/dead-letters.ts";

/** Dead letters of a schema's own, and what the suite needs to look behind their back. */
export interface DeadLettersFixture {
  readonly deadLetters: DeadLetters;
  /** Every record, oldest first, read past the contract. Times in ms from any instant on. */
  records(): Promise<readonly DeadLetterSnapshot[]>;
  /** Lets the clock that times are read from pass. A real database really waits. */
  elapse(ms: number): Promise<void>;
  /** Called once after each test, also a failed one. */
  close(): Promise<void>;
}

export interface DeadLetterSnapshot extends Omit<DeadLetter, "note"> {
  readonly times: number;
  readonly firstAtMs: number;
  readonly lastAtMs: number;
}

export type CreateDeadLetters = () => Promise<DeadLettersFixture>;

/** Every note is another unless a test says otherwise. */
let notes = 0;

/** A letter of the queue `voucher` about message `m-1`, different as the test says. */
export function letterOf(wish: Partial<DeadLetter> = {}): DeadLetter {
  notes += 1;
  return {
    note: `note-${notes}`,
    queue: "voucher",
    messageId: "m-1",
    pool: "voucher_item",
    resource: null,
    claimant: "7",
    code: "REFUSED",
    reason: "no vouchers left",
    ...wish,
  };
}

const NOT_YET = { times: 1, firstAtMs: expect.any(Number), lastAtMs: expect.any(Number) };

/** The record of a letter that was noted once. */
function recordOf({ note: _, ...letter }: DeadLetter) {
  return { ...letter, ...NOT_YET };
}

/**
 * The rules of the dead letters, run once for each: `deadLettersConformance("memory", create)`. `create` is called once a test.
 *
 * - D1 a message with an id has one record in its queue, which tells of the last time, counts all of them and keeps the first time;
 * - D2 a message without an id has a record each time;
 * - D3 asking again under the same notes changes nothing: nothing is counted twice because an answer was lost;
 * - D4 one call takes many letters, in any mixture, also the same message more than once;
 * - D5 calls at once lose no count and wait for each other in no ring;
 * - D6 a text comes back as it was given.
 *
 * Teeth: each of these faults was planted alone, in the statement or in the memory ones, and failed at least one test here.
 * - the queue not part of the key; the id alone not part of it; the first record's words kept; times
 *   not counted, or counted by one for a call; the first time overwritten, the last one kept;
 * - a message without an id recognised by its queue; its repeated note refused as a duplicate;
 * - a repeated note counted again, alone and in a batch; the note of the first time kept, so that the repeat of a later one counts;
 * - a batch not folded (the database: "cannot affect row a second time"), folded to its first letter, or its rows met in the order given
 *   (deadlock);
 * - a pool written for a resource.
 */
export function deadLettersConformance(name: string, create: CreateDeadLetters): void {
  describe(`the ${name} dead letters`, () => {
    it("D1 keep of a message what it was, whose, of which queue and pool, and why", async () => {
      const { deadLetters, records } = await open(create);
      const letter = letterOf();

      await deadLetters.record([letter]);

      const [record, ...more] = await records();
      expect(record).toEqual(recordOf(letter));
      expect(record?.lastAtMs).toBe(record?.firstAtMs);
      expect(more).toEqual([]);
    });

    it("D1 keep of a resource's message its resource and key, and nothing of a claimant that nobody named", async () => {
      const { deadLetters, records } = await open(create);
      const ofResource = letterOf({ messageId: "a", pool: null, resource: "order", claimant: "42" });
      const ofNobody = letterOf({ messageId: "b", claimant: null, code: "CLAIMANT_MISSING" });

      await deadLetters.record([ofResource, ofNobody]);

      expect(await records()).toEqual([recordOf(ofResource), recordOf(ofNobody)]);
    });

    it("D1 tell of the last time a message was noted, count the times, and keep the first", async () => {
      const { deadLetters, records, elapse } = await open(create);
      await deadLetters.record([letterOf({ code: "REFUSED", reason: "no vouchers left" })]);
      const [first] = await records();
      await elapse(20);

      await deadLetters.record([
        letterOf({ pool: null, resource: "order", claimant: "8", code: "HANDLER_ERROR", reason: "boom" }),
      ]);
      await deadLetters.record([letterOf({ pool: "seat", claimant: null, code: "CLAIMANT_MISSING", reason: "none" })]);

      const [record, ...more] = await records();
      expect(record).toMatchObject({ pool: "seat", resource: null, claimant: null, code: "CLAIMANT_MISSING", reason: "none" });
      expect([record?.times, more]).toEqual([3, []]);
      expect(record?.firstAtMs).toBe(first?.firstAtMs);
      expect((record?.lastAtMs ?? 0) - (record?.firstAtMs ?? 0)).toBeGreaterThanOrEqual(19);
    });

    it("D1 tell messages apart by queue and id together", async () => {
      const { deadLetters, records } = await open(create);
      const letters = [
        letterOf({ queue: "a", messageId: "b" }),
        letterOf({ queue: "b", messageId: "a" }),
        letterOf({ queue: "a", messageId: "a" }),
        letterOf({ queue: "a", messageId: "A" }),
        letterOf({ queue: "a", messageId: "a " }),
      ];

      for (const letter of letters) await deadLetters.record([letter]);

      expect(await records()).toEqual(letters.map(recordOf));
    });

    it("D2 keep a record each time of messages without an id", async () => {
      const { deadLetters, records } = await open(create);
      const letters = [letterOf({ messageId: null }), letterOf({ messageId: null }), letterOf({ messageId: null })];

      await deadLetters.record(letters.slice(0, 2));
      await deadLetters.record(letters.slice(2));

      expect(await records()).toEqual(letters.map(recordOf));
    });

    it("D3 change nothing when asked again under the same notes, however often, with ids and without", async () => {
      const { deadLetters, records, elapse } = await open(create);
      const known = letterOf({ messageId: "known" });
      await deadLetters.record([known]);
      const letters = [
        letterOf({ messageId: "known", reason: "again" }),
        letterOf(),
        letterOf(),
        letterOf({ messageId: null }),
      ];
      await deadLetters.record(letters);
      const before = await records();
      await elapse(5);

      await deadLetters.record(letters);
      await deadLetters.record(letters);

      expect(before.map(({ messageId, times }) => [messageId, times])).toEqual(
        expect.arrayContaining([
          ["known", 2],
          ["m-1", 2],
          [null, 1],
        ]),
      );
      expect(await records()).toEqual(before);
    });

    it("D4 take the same message several times in one call, among others: its last words, and each time counted", async () => {
      const { deadLetters, records } = await open(create);

      await deadLetters.record([
        letterOf({ reason: "first" }),
        letterOf({ messageId: "other" }),
        letterOf({ reason: "second" }),
        letterOf({ messageId: null, reason: "without an id" }),
        letterOf({ queue: "seat", reason: "elsewhere" }),
        letterOf({ reason: "last" }),
      ]);
      await deadLetters.record([letterOf({ reason: "later" }), letterOf({ reason: "latest" })]);

      const found = (await records()).map(({ queue, messageId, reason, times }) => [queue, messageId, reason, times]);
      expect(found).toHaveLength(4);
      expect(found).toEqual(
        expect.arrayContaining([
          ["voucher", "m-1", "latest", 5],
          ["voucher", "other", "no vouchers left", 1],
          ["voucher", null, "without an id", 1],
          ["seat", "m-1", "elsewhere", 1],
        ]),
      );
    });

    it("D4 take 1,000 letters in one call, and none at all", async () => {
      const { deadLetters, records } = await open(create);

      await deadLetters.record([]);
      const none = await records();
      await deadLetters.record(Array.from({ length: 1_000 }, (_, index) => letterOf({ messageId: `m-${index % 600}` })));

      const found = await records();
      expect(none).toEqual([]);
      expect([found.length, found.reduce((sum, { times }) => sum + times, 0)]).toEqual([600, 1_000]);
    });

    it("D5 count every one of the calls that come at once, whatever order each has its messages in", async () => {
      const { deadLetters, records } = await open(create);
      const calls = Array.from({ length: 40 }, (_, call) => {
        const letters = Array.from({ length: 30 }, (_, index) =>
          letterOf({ messageId: `m-${String(index).padStart(2, "0")}` }),
        );
        const turned = [...letters.slice(call % 30), ...letters.slice(0, call % 30)];
        return [...(call % 2 === 0 ? turned : turned.toReversed()), letterOf({ messageId: null })];
      });

      await Promise.all(calls.map((letters) => deadLetters.record(letters)));

      const found = await records();
      expect(found.filter(({ messageId }) => messageId !== null).map(({ times }) => times)).toEqual(Array(30).fill(40));
      expect(found.filter(({ messageId }) => messageId === null)).toHaveLength(40);
    });

    it("D6 give every text back as it was", async () => {
      const { deadLetters, records } = await open(create);
      const odd = [
        "NULL",
        "",
        "{}",
        '{"a",null}',
        "a,b",
        "\\",
        '"',
        "'; drop table dead_letters; --",
        "  ",
        "\n\t\r",
        "Жетон 💥",
        "\u0001",
      ];
      const letters = odd.map((text, index) =>
        letterOf({ queue: `${index}${text}`, messageId: text, pool: text, claimant: text, code: text, reason: text }),
      );
      const longest = letterOf({ queue: "q".repeat(255), messageId: "💥".repeat(63), reason: "💥".repeat(1_000) });

      await deadLetters.record([...letters, longest]);

      const found = await records();
      expect(found).toHaveLength(odd.length + 1);
      expect(found).toEqual(expect.arrayContaining([...letters, longest].map(recordOf)));
    });
  });
}

async function open(create: CreateDeadLetters): Promise<DeadLettersFixture> {
  const fixture = await create();
  onTestFinished(() => fixture.close());
  return fixture;
}
