/** The contenders of a lock, as keys in etcd, and what is asked about them. */
import type { Answer, Question } from "./etcd-client.ts";
import type { LockWaiter } from "./lock.ts";

/** Keys from `key` to before `range_end`, in base64, named as etcd does. */
export interface KeyRange {
  readonly key: string;
  readonly range_end: string;
}

/** Where one contender stands, or would stand. */
export interface Place {
  /** Its own key, in base64. */
  readonly key: string;
  /** Whoever excludes it is in there. For an exclusive contender that is everyone, itself too. */
  readonly rivals: KeyRange;
}

/** One key of the line. */
export interface Contender {
  /** The place in the line: lower ones came before. */
  readonly revision: bigint;
  readonly modRevision: string;
  readonly lease: string;
  /** Base64. */
  readonly key: string;
  /** It was told that it won. One that waits may stand first without having been told yet. */
  readonly isHeld: boolean;
}

/** What was seen of a line, from one contender's place. */
export interface Line {
  readonly own: Contender | undefined;
  /** The first of those that exclude us: the holder, or who will be it before us. Undefined when nobody stands before us. */
  readonly rival: Contender | undefined;
  /** Grows with each change of leader. */
  readonly term: bigint;
  /** Of etcd's whole store, when it was seen. */
  readonly revision: bigint;
}

/** Values of the keys. */
const HELD = toBase64("held");
const WAITING = toBase64("waiting");

/**
 * Shape: `prefix`, the key, `/exclusive/` or `/shared/`, the owner. In key and owner `%`, `/` and halves of surrogate pairs are written
 * as `%` and their hexadecimal code, so that different keys stay different and none lies in another's range.
 */
export function placeOf(prefix: string, { key, owner, mode }: LockWaiter): Place {
  const line = `${prefix}${escaped(key)}`;
  const rivals = mode === "exclusive" ? line : `${line}/exclusive`;
  // "0" is what comes after "/".
  return {
    key: toBase64(`${line}/${mode}/${escaped(owner)}`),
    rivals: { key: toBase64(`${rivals}/`), range_end: toBase64(`${rivals}0`) },
  };
}

/** How the line stands, as most members agree. */
export function look(place: Place): Question<Line> {
  return transaction(place, [], [], []);
}

/** `look` for many places at once. */
export function lookAtAll(places: readonly Place[]): Question<readonly Line[]> {
  return {
    path: "kv/txn",
    message: { success: places.flatMap(sights) },
    read: (answer) => places.map((place, index) => readLine(place, answer, index * 2)),
  };
}

/**
 * Puts our own key under a lease, as it was seen in `line`: a new one as held if nobody excludes us, else as waiting, or with `onlyIfFree`
 * not at all; one that is there at its place in the line, as held if nobody stood before it.
 * Atomicity: one transaction, which changes nothing unless our key is as it was seen; nobody can have come before it since. Its answer is
 * how the line stands then: our key in it, under that lease, tells that it was put, also at the second time of asking.
 */
export function put(
  place: Place,
  { own, rival }: Line,
  lease: string,
  { onlyIfFree }: { onlyIfFree: boolean },
): Question<Line> {
  const { key } = place;
  const putAs = (value: string) => ({ request_put: { key, value, lease } });
  const seen = unchanged(place, own);
  if (own !== undefined) return transaction(place, [seen], [putAs(rival === undefined ? HELD : WAITING)], []);
  const free = { ...place.rivals, target: "CREATE", result: "EQUAL", create_revision: "0" };
  const wait = { request_txn: { compare: [seen], success: [putAs(WAITING)] } };
  return transaction(place, [seen, free], [putAs(HELD)], onlyIfFree ? [] : [wait]);
}

/** Tells one that waits and stands first that it won: marks its key as held, under the lease it has. Atomicity: as that of `put`. */
export function hold(place: Place, own: Contender): Question<Line> {
  const mark = { request_put: { key: place.key, value: HELD, ignore_lease: true } };
  return transaction(place, [unchanged(place, own)], [mark], []);
}

/** The last one before our place that excludes us, or, when we have none, the last one of all. */
export function closestRival(
  place: Place,
  own: Contender | undefined,
): Question<{ rival: Contender | undefined; revision: bigint }> {
  const before = own === undefined ? {} : { max_create_revision: String(own.revision - 1n) };
  const message = { ...place.rivals, ...before, limit: "1", sort_target: "CREATE", sort_order: "DESCEND", keys_only: true };
  return {
    path: "kv/range",
    message,
    read: (answer) => {
      const { header, kvs } = answer as RangeAnswer;
      return { rival: readContender(kvs?.[0]), revision: BigInt(header.revision) };
    },
  };
}

interface KeyValue {
  readonly key: string;
  readonly create_revision: string;
  readonly mod_revision: string;
  readonly lease?: string;
  readonly value?: string;
}

interface RangeAnswer extends Answer {
  readonly kvs?: readonly KeyValue[];
}

interface TxnAnswer extends Answer {
  readonly succeeded?: boolean;
  readonly responses: readonly { readonly response_range?: { readonly kvs?: readonly KeyValue[] } }[];
}

function unchanged({ key }: Place, own: Contender | undefined): object {
  return { key, target: "MOD", result: "EQUAL", mod_revision: own?.modRevision ?? "0" };
}

/** One that ends with a look. */
function transaction(
  place: Place,
  compare: readonly object[],
  success: readonly object[],
  failure: readonly object[],
): Question<Line> {
  const message = { compare, success: [...success, ...sights(place)], failure: [...failure, ...sights(place)] };
  return {
    path: "kv/txn",
    message,
    read: (answer) => readLine(place, answer, (answer as TxnAnswer).succeeded ? success.length : failure.length),
  };
}

/** Our own key, and the oldest of our rivals: all that decides, however many wait. */
function sights(place: Place): readonly object[] {
  const first = { ...place.rivals, limit: "1", sort_target: "CREATE", sort_order: "ASCEND", keys_only: true };
  return [{ request_range: { key: place.key } }, { request_range: first }];
}

function readLine(place: Place, answer: Answer, at: number): Line {
  const { header, responses } = answer as TxnAnswer;
  const [own, first] = [responses[at], responses[at + 1]].map((response) => {
    if (response?.response_range === undefined) throw new Error("an answer to another question");
    return readContender(response.response_range.kvs?.[0]);
  });
  const isBefore = first !== undefined && first.key !== place.key && (own === undefined || first.revision < own.revision);
  return { own, rival: isBefore ? first : undefined, term: BigInt(header.raft_term), revision: BigInt(header.revision) };
}

function readContender(kv: KeyValue | undefined): Contender | undefined {
  if (kv === undefined) return undefined;
  const { key, create_revision, mod_revision, lease = "0", value } = kv;
  return { key, revision: BigInt(create_revision), modRevision: mod_revision, lease, isHeld: value === HELD };
}

function escaped(text: string): string {
  return text.replace(/[%/]|\p{Surrogate}/gu, (character) => `%${character.charCodeAt(0).toString(16)}`);
}

function toBase64(text: string): string {
  return Buffer.from(text).toString("base64");
}
