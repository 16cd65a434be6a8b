import type { Claim } from "../claim/claim.ts";
import type { DeadLetterNote } from "../claim/note-dead-letter.ts";
import type { PoolClaimRequest } from "../claim/pool.ts";
import type { ResourceClaimOptions } from "../claim/resource.ts";
import type { MessageEnd } from "../claim/row-note.ts";
import type { Outcome } from "../settle/outcome.ts";
import type { PoolDeliveryOptions, ResourceDeliveryOptions } from "./claim-options.ts";
import { claimOptionsOf, isUnidentified, keyOf, wantedBy } from "./claim-request.ts";

/** What an adapter knows of one delivery of a message, whatever it claims. */
export type DeliveryFacts = Pick<PoolClaimRequest, "messageId" | "signal" | "lastAttempt" | "judge" | "waitMs">;

/** What is kept of messages that end, before their broker is told. All throw DATABASE_UNREACHABLE, SCHEMA_OUTDATED. */
export interface MessageEnds<M> {
  /** The message will not be delivered again, and the engine was not told so when it was at work. */
  giveUp(message: M, messageId: string | undefined): Promise<void>;
  /** Keeps the reason why a message is dead-lettered, for a broker that does not. */
  noteDeadLetter(letter: DeadLetterNote): Promise<void>;
  /** Records what became of the row of an import that the message was made of. */
  accountRow(message: M, messageId: string, end: MessageEnd): Promise<void>;
}

/** What the messages of a consumer claim: rows of a pool, or keys of a resource. */
export interface ClaimTarget<M, R> extends MessageEnds<M> {
  /** On whose behalf the message claims, or on which key it works. Throws when the message does not say. */
  claimantOf(message: M): string;
  claim<T>(message: M, facts: DeliveryFacts, handler: (claim: Claim<R>) => Promise<T>): Promise<Outcome<T>>;
  jitter(): number;
}

export function poolTarget<M, R extends object>(options: PoolDeliveryOptions<M, R>): ClaimTarget<M, R> {
  const { pool, onGiveUp = "keep" } = options;
  const sameForAll = claimOptionsOf(options);
  return {
    claimantOf: (message) => wantedBy(message, options).claimant,
    claim: (message, facts, handler) => pool.claim({ ...sameForAll, ...wantedBy(message, options), ...facts }, handler),
    async giveUp(message, messageId) {
      if (messageId === undefined) return;
      try {
        const { claimant, scope } = wantedBy(message, options);
        await pool.giveUp({ claimant, ...(scope === undefined ? {} : { scope }), messageId, onGiveUp });
      } catch (error) {
        // A message that names no claimant never had a claim.
        if (!isUnidentified(error)) throw error;
      }
    },
    noteDeadLetter: (letter) => pool.noteDeadLetter(letter),
    accountRow: (message, messageId, end) => pool.accountRow({ messageId, end, ...ownerOf(() => wantedBy(message, options)) }),
    jitter: () => pool.jitter(),
  };
}

export function resourceTarget<M>(options: ResourceDeliveryOptions<M>): ClaimTarget<M, undefined> {
  const { resource } = options;
  const sameForAll = resourceOptionsOf(options);
  return {
    claimantOf: (message) => keyOf(message, options),
    claim(message, { messageId, signal, waitMs }, handler) {
      const facts = {
        ...(messageId === undefined ? {} : { messageId }),
        ...(signal === undefined ? {} : { signal }),
        ...(waitMs === undefined ? {} : { waitMs }),
      };
      return resource.claim({ ...sameForAll, key: keyOf(message, options), ...facts }, handler);
    },
    // A lease ends by itself, and nothing of the resource stays behind.
    giveUp: async () => {},
    noteDeadLetter: (letter) => resource.noteDeadLetter(letter),
    accountRow: (message, messageId, end) =>
      resource.accountRow({ messageId, end, ...ownerOf(() => ({ claimant: keyOf(message, options) })) }),
    jitter: () => resource.jitter(),
  };
}

/** Whose row it is, or nothing where the message does not say. */
function ownerOf(
  ask: () => Pick<PoolClaimRequest, "claimant" | "scope">,
): Partial<Pick<PoolClaimRequest, "claimant" | "scope">> {
  try {
    const { claimant, scope } = ask();
    return { claimant, ...(scope === undefined ? {} : { scope }) };
  } catch {
    return {};
  }
}

/** The options that are the same for every message, without those that are not set. */
function resourceOptionsOf({ mode, minIntervalMs, intervalFrom, maxHoldMs }: ResourceClaimOptions): ResourceClaimOptions {
  return {
    ...(mode === undefined ? {} : { mode }),
    ...(minIntervalMs === undefined ? {} : { minIntervalMs }),
    ...(intervalFrom === undefined ? {} : { intervalFrom }),
    ...(maxHoldMs === undefined ? {} : { maxHoldMs }),
  };
}
