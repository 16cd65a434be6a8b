import { setTimeout as delay } from "node:timers/promises";
import type { Claim, Pool, SettlePolicy } from "../../src/index.ts";
import type { SignUp } from "./broker.ts";

export interface Voucher {
  readonly id: string;
  readonly code: string;
}

/** What of a message the handler and its options see: both brokers' messages have it. */
export interface SignUpMessage {
  readonly data: SignUp;
}

/** The handler and how its messages claim, for any broker. */
export interface SignUpService {
  handler(message: SignUpMessage, claim: Claim<Voucher>): Promise<unknown>;
  readonly options: SettlePolicy<SignUpMessage> & {
    readonly pool: Pool<Voucher>;
    readonly claimant: (message: SignUpMessage) => string;
  };
}

/** A queue that is served. */
export interface ServedQueue {
  /** Takes no more messages. Resolves once those that are served are settled. */
  close(): Promise<void>;
}

/**
 * Serves sign-ups: each user gets a voucher, and its redemption is written with the claim's completion.
 * Shape: `chance` gives numbers in [0, 1), `thinkMs` how long a handler thinks; both decide what comes of a message, so that a seed does.
 */
export function signUpService(pool: Pool<Voucher>, chance: () => number, thinkMs: () => number): SignUpService {
  return {
    async handler(message, claim) {
      await delay(thinkMs());
      const roll = chance();
      // Some runs fail, some give their row back, and some say both: the row is then claimed again under a higher token.
      if (roll < 0.05) throw new Error("the mail server is down");
      if (roll < 0.08) {
        await claim.release();
        throw new Error("not this one");
      }
      await claim.complete(async (tx) => {
        await tx.query("insert into redemption (user_id, voucher_id, token) values ($1, $2, $3)", [
          message.data.user_id,
          claim.row.id,
          String(claim.token),
        ]);
        return { code: claim.row.code };
      });
    },
    options: {
      pool,
      claimant: (message) => String(message.data.user_id),
      onContended: { do: "retry", delayMs: 100 },
      onEmpty: { do: "dead-letter", reason: "no vouchers left" },
    },
  };
}

/** The pool that the sign-ups claim from. */
export const VOUCHER_POOL = { table: "voucher_item", ownerColumn: "user_id", where: { revoked: false } } as const;

/** Numbers in [0, 1) that a seed decides (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let value = Math.imul(state ^ (state >>> 15), 1 | state);
    value = (value + Math.imul(value ^ (value >>> 7), 61 | value)) ^ value;
    return ((value ^ (value >>> 14)) >>> 0) / 2 ** 32;
  };
}
