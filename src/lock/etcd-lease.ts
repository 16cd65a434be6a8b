/** What is asked about leases: etcd's own, each of which carries one key of ours away when it ends. */
import { systemRandom } from "../random.ts";
import type { Answer, Question } from "./etcd-client.ts";

/** gRPC's codes for a lease that is not there, and for one that is there already. */
const NOT_FOUND = 5;
const FAILED_PRECONDITION = 9;

/** In seconds. */
interface LeaseAnswer extends Answer {
  readonly TTL?: string;
  readonly grantedTTL?: string;
}

/** What a lease kept alive told of itself. */
export interface Alive {
  /** How long it lasts from then on; 0 when there is no such lease. */
  readonly ttlMs: number;
  /** Of the member that answered, just before. */
  readonly term: bigint;
}

/** Drawn here and not by the server, so that a lease whose grant was never answered can be revoked all the same. */
export function newLeaseId(): string {
  return BigInt.asUintN(63, BigInt(`0x${systemRandom.id()}`)).toString();
}

/** Unit: etcd counts whole seconds, and gives at least one and a half times its election timeout, so 2 s with its defaults. */
export function grant(id: string, ttlMs: number): Question<void> {
  const seconds = Math.ceil(ttlMs / 1_000);
  return {
    path: "lease/grant",
    message: { ID: id, TTL: String(seconds) },
    read: (answer) => {
      const { TTL: granted } = answer as LeaseAnswer;
      if (!(Number(granted) >= seconds)) throw new Error(`${seconds} s were asked for and ${granted} s granted`);
    },
    // The id is nobody else's: the grant was sent twice.
    refused: { code: FAILED_PRECONDITION, meaning: undefined },
  };
}

/**
 * Lets a lease last its whole ttl from now. One at a time: the gateway takes many in one request, but Go's server drops those it has not
 * read when the first is answered (seen with 1,000 of them under load).
 */
export function keepAlive(id: string): Question<Alive> {
  return {
    path: "lease/keepalive",
    message: { ID: id },
    read: (answer) => ({ ttlMs: Number((answer as LeaseAnswer).TTL ?? 0) * 1_000, term: BigInt(answer.header.raft_term) }),
  };
}

/** Ends a lease, and the key with it. */
export function revoke(id: string): Question<void> {
  return {
    path: "lease/revoke",
    message: { ID: id },
    read: () => undefined,
    refused: { code: NOT_FOUND, meaning: undefined },
  };
}

/** How long a lease lasts unless it is kept alive, in ms; 0 when it is not there. */
export function remaining(id: string): Question<number> {
  return {
    path: "lease/timetolive",
    message: { ID: id },
    read: (answer) => {
      // Whole seconds, rounded down.
      const { TTL: left = "0", grantedTTL: granted = "0" } = answer as LeaseAnswer;
      return Math.min(Number(left) + 1, Number(granted)) * 1_000;
    },
  };
}
