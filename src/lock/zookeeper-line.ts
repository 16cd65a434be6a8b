/**
 * Who stands in line for a key, by the names of nodes.
 *
 * Shape: `root/<bucket>/<key>-<x|s>-<owner>-<sequence>`: an ephemeral sequential node for each holder or waiter. The bucket is the first
 * byte of the key's SHA-256 in hexadecimal, the key all of it in base64url, so any key will do; the node's data is the key as text, for
 * people who look. `x` is exclusive, `s` shared. The server appends the sequence, ten digits that grow within a bucket.
 *
 * There is no folder a key: when its holder died nobody would remove it, and keys that never come again would fill the server. The 256
 * buckets stay, and everything in them goes with its session. A listing has the line of some other keys too.
 */
import { createHash } from "node:crypto";
import type { LockMode } from "./lock.ts";

/** Longer or stranger owners are hashed, to 64 digits: none of them can be taken for a plain one. */
const PLAIN_OWNER = /^\w{1,63}$/;

const MAX_DATA_LENGTH = 1_000;

/** Where the line of a key is. */
export interface Spot {
  readonly bucket: string;
  /** How the names of its nodes begin. */
  readonly prefix: string;
  /** What the nodes hold. */
  readonly data: Buffer;
}

/** One who holds the key or waits for it. */
export interface Contender {
  readonly path: string;
  readonly mode: LockMode;
  readonly owner: string;
  readonly sequence: number;
}

export function spotOf(root: string, key: string): Spot {
  // As UTF-16, since in UTF-8 strings with different lone surrogates are the same.
  const hash = createHash("sha256").update(key, "utf16le").digest();
  const bucket = `${root === "/" ? "" : root}/${hash.toString("hex", 0, 1)}`;
  return { bucket, prefix: `${hash.toString("base64url")}-`, data: Buffer.from(key.slice(0, MAX_DATA_LENGTH)) };
}

/** An owner as it stands in a node's name. */
export function ownerName(owner: string): string {
  return PLAIN_OWNER.test(owner) ? owner : createHash("sha256").update(owner, "utf16le").digest("hex");
}

/** The path to create; the server appends the sequence. */
export function pathToCreate({ bucket, prefix }: Spot, owner: string, mode: LockMode): string {
  return `${bucket}/${prefix}${mode === "shared" ? "s" : "x"}-${owner}-`;
}

/** The line of a key among all that is in its bucket, in the order of the sequence alone. */
export function lineOf({ bucket, prefix }: Spot, names: readonly string[]): readonly Contender[] {
  const contenders = names.flatMap((name): Contender[] => {
    if (!name.startsWith(prefix)) return [];
    const [, mode, owner, sequence] = /^([xs])-(\w+)-(-?\d{9,10})$/.exec(name.slice(prefix.length)) ?? [];
    if (owner === undefined) return [];
    return [{ path: `${bucket}/${name}`, mode: mode === "s" ? "shared" : "exclusive", owner, sequence: Number(sequence) }];
  });
  // The sequence is a 32-bit integer that overflows to negative numbers: the difference in 32 bits keeps the order across that.
  return contenders.sort((one, other) => (one.sequence - other.sequence) | 0);
}

/** The nodes of an owner, the one that counts first. */
export function nodesOf(line: readonly Contender[], owner: string): readonly Contender[] {
  return line.filter((contender) => contender.owner === owner);
}

/** The last one before the owner's place, or before the end of the line, that keeps it from winning; undefined: it may win. */
export function excluderOf(line: readonly Contender[], owner: string, mode: LockMode): Contender | undefined {
  const place = line.findIndex((contender) => contender.owner === owner);
  const before = place === -1 ? line : line.slice(0, place);
  return before.findLast((contender) => mode === "exclusive" || contender.mode === "exclusive");
}
