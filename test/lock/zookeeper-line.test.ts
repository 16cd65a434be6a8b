import { describe, expect, it } from "vitest";
import { excluderOf, lineOf, nodesOf, ownerName, pathToCreate, spotOf } from "../../src/lock/zookeeper-line.ts";

const SPOT = spotOf("/locks", "order:1");

/** What the server makes of the path for a new node. */
function nodeOf(owner: string, sequence: string, mode: "exclusive" | "shared" = "exclusive"): string {
  return `${pathToCreate(SPOT, ownerName(owner), mode)}${sequence}`.slice(SPOT.bucket.length + 1);
}

function orderOf(names: readonly string[]): string[] {
  return lineOf(SPOT, names).map(({ owner }) => owner);
}

describe("the line of a key", () => {
  it("is where it has always been, so that releases of different age see each other", () => {
    expect(pathToCreate(SPOT, "f00", "exclusive")).toBe("/locks/7c/fOcFaVeCIMOei6zTSEatEj1hlHB21WPfRyhm9HmxlA8-x-f00-");
    expect(pathToCreate(spotOf("/", "order:1"), "f00", "shared")).toMatch(/^\/[0-9a-f]{2}\/[\w-]{43}-s-f00-$/);
  });

  it("L9 is in the order of the sequence alone, whoever and however", () => {
    const names = [nodeOf("a", "0000000012"), nodeOf("z", "0000000010", "shared"), nodeOf("m", "0000000011")];

    expect(orderOf(names)).toEqual(["z", "m", "a"]);
  });

  // Seen to fail with `one.sequence - other.sequence`.
  it("L9 stays in order when the sequence runs over, as the server writes it then", () => {
    const names = [
      nodeOf("d", "-2147483647"),
      nodeOf("b", "2147483647"),
      nodeOf("c", "-2147483648"),
      nodeOf("a", "2147483646"),
    ];

    expect(orderOf(names)).toEqual(["a", "b", "c", "d"]);
    expect(orderOf([nodeOf("b", "0000000000"), nodeOf("a", "-000000001")])).toEqual(["a", "b"]);
  });

  it("L1 has nothing of other keys, nor of what others put there", () => {
    const other = spotOf("/locks", "order:2");
    const foreign = pathToCreate(other, "a", "exclusive").slice(other.bucket.length + 1);

    expect(orderOf([`${foreign}0000000001`, "0000000001", "readme", nodeOf("a", ""), nodeOf("b", "0000000002")])).toEqual([
      "b",
    ]);
  });

  it.each([
    ["lone surrogates", "\ud800", "\ud801"],
    ["what UTF-8 replaces them by", "\ud800", "\ufffd"],
    ["nothing and a NUL", "", "\0"],
    ["composed and decomposed letters", "\u00e9", "e\u0301"],
  ])("L1 tells keys apart by %s", (_what, one, other) => {
    expect(spotOf("/locks", one).prefix).not.toBe(spotOf("/locks", other).prefix);
  });

  it("L2 tells owners apart, however strange or long", () => {
    const owners = [
      "a",
      "A",
      "a-",
      "-a",
      "a/b",
      "a b",
      "a\nb",
      "ä",
      "",
      "\ud800",
      "\ud801",
      "0".repeat(63),
      "0".repeat(64),
      "0".repeat(5_000),
    ];

    const names = owners.map(ownerName);

    expect(new Set(names).size).toBe(owners.length);
    expect(names.filter((name) => !/^\w{1,64}$/.test(name))).toEqual([]);
    expect(orderOf(owners.map((owner, index) => nodeOf(owner, String(index).padStart(10, "0"))))).toEqual(names);
  });

  it("L8 an exclusive owner is excluded by whoever stands before it, a shared one by the last exclusive", () => {
    const line = lineOf(SPOT, [
      nodeOf("w1", "0000000001"),
      nodeOf("r1", "0000000002", "shared"),
      nodeOf("w2", "0000000003"),
      nodeOf("r2", "0000000004", "shared"),
      nodeOf("r3", "0000000005", "shared"),
      nodeOf("w3", "0000000006"),
    ]);
    const excluders = ["w1", "r1", "w2", "r2", "r3", "w3", "new"].map((owner) => [
      owner,
      excluderOf(line, owner, owner.startsWith("r") ? "shared" : "exclusive")?.owner,
    ]);

    expect(excluders).toEqual([
      ["w1", undefined],
      ["r1", "w1"],
      ["w2", "r1"],
      ["r2", "w2"],
      ["r3", "w2"],
      ["w3", "r3"],
      ["new", "w3"],
    ]);
    expect(excluderOf(line.slice(3, 5), "new", "shared")).toBeUndefined();
  });

  it("L7 an owner that came twice has the place of the first time", () => {
    const line = lineOf(SPOT, [nodeOf("b", "0000000002"), nodeOf("a", "0000000003"), nodeOf("a", "0000000001")]);

    expect(nodesOf(line, "a").map(({ sequence }) => sequence)).toEqual([1, 3]);
    expect(excluderOf(line, "a", "exclusive")).toBeUndefined();
    expect(excluderOf(line, "b", "exclusive")?.owner).toBe("a");
  });
});
