import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { importMessageId, importRowOf, isImportId, rowKeyOf } from "../../src/ledger/import-message-id.ts";

const letter = fc.constantFrom(..."aZ09_.--");
const importIds = fc.string({ unit: letter, minLength: 1, maxLength: 64 }).filter(isImportId);
/** Such as people have, such as are like a part of an id, and anything. */
const keys = fc.oneof(
  fc.string({ unit: fc.constantFrom(..."aZ09_.@+=~-:/ é"), minLength: 1, maxLength: 6 }),
  fc.string({ unit: letter, minLength: 110, maxLength: 130 }),
  fc.string({ unit: "binary", minLength: 1, maxLength: 300 }),
  fc.constantFrom("\ud83d", "\udca5", "imp-a-b", "~", "-", "a-", "--", rowKeyOf("é")),
);

describe("the id of a row's message", () => {
  // Planted: hyphens of the import's id left single; a key that begins with a hyphen left as it is.
  it("F8 tells its import and its row key, whatever the row is called", () => {
    fc.assert(
      fc.property(importIds, keys, (importId, key) => {
        const row = { importId, rowKey: rowKeyOf(key) };

        expect(importRowOf(importMessageId(row))).toEqual(row);
      }),
      { numRuns: 2_000 },
    );
  });

  it("F8 is no other row's, of this import or another", () => {
    fc.assert(
      fc.property(importIds, keys, importIds, keys, (importId, key, otherImport, otherKey) => {
        const isSame = importId === otherImport && key === otherKey;

        const ids = [
          importMessageId({ importId, rowKey: rowKeyOf(key) }),
          importMessageId({ importId: otherImport, rowKey: rowKeyOf(otherKey) }),
        ];

        expect(ids[0] === ids[1]).toBe(isSame);
      }),
      { numRuns: 5_000 },
    );
  });

  // Planted: the digest taken of UTF-8, in which every half character is the same.
  it.each([
    ["a-b", "c", "a", "b-c"],
    ["a", "b-c", "a-b", "c"],
    ["a--b", "c", "a", "-b-c"],
    ["a", "\ud83d", "a", "\udca5"],
    ["a", "é", "a", "e\u0301"],
    ["a", "é", "a", rowKeyOf("é")],
  ])("F8 tells %j of %j from %j of %j", (importId, key, otherImport, otherKey) => {
    const one = importMessageId({ importId, rowKey: rowKeyOf(key) });
    const other = importMessageId({ importId: otherImport, rowKey: rowKeyOf(otherKey) });

    expect(one).not.toBe(other);
  });

  it("F3 is one that every broker takes: ASCII, at most 255 bytes, no colon, no number alone", () => {
    const longest = importMessageId({ importId: `a${"-".repeat(62)}b`, rowKey: rowKeyOf("k".repeat(120)) });

    expect(longest).toHaveLength(251);
    fc.assert(
      fc.property(importIds, keys, (importId, key) => {
        expect(importMessageId({ importId, rowKey: rowKeyOf(key) })).toMatch(/^imp-[A-Za-z0-9_.@+=~-]{3,251}$/);
      }),
      { numRuns: 2_000 },
    );
  });

  it("is plain to read where the key is plain", () => {
    expect(importMessageId({ importId: "spring-2026", rowKey: rowKeyOf("E-1001") })).toBe("imp-spring--2026-E-1001");
    expect(rowKeyOf("é")).toMatch(/^~[A-Za-z0-9_-]{43}$/);
  });

  it.each(["", "7", "imp-", "imp-a", "imp-a-", "imp--a", "imp-a b-c", "imp-a-b:c", "ximp-a-b", "imp-a-b\n", "repeat:imp-a-b"])(
    "is not seen in %j, the id of another message",
    (messageId) => {
      expect(importRowOf(messageId)).toBeUndefined();
    },
  );
});

describe("the id of an import", () => {
  it.each(["a", "spring-2026", "a--b", "A_b.c-9", "x".repeat(64)])("may be %j", (id) => {
    expect(isImportId(id)).toBe(true);
  });

  it.each(["", "-a", "a-", "a b", "a:b", "é", "x".repeat(65), 7, null, undefined])("may not be %j", (id) => {
    expect(isImportId(id)).toBe(false);
  });
});
