import type { ClaimSubject } from "../events.ts";
import type { Guard } from "../lease/guard.ts";
import { Lease } from "../lease/lease.ts";
import type { Work } from "../lease/running.ts";
import type { Outcome } from "../settle/outcome.ts";
import type { Claim } from "./claim.ts";
import type { EngineParts } from "./engine-parts.ts";
import { type ClaimFacts, type ClaimRecord, HeldClaim } from "./held-claim.ts";
import { type Endings, runHandler } from "./run-handler.ts";

/** A claim that was won, and all that is needed to work on it. */
export interface WonClaim<R> {
  readonly subject: ClaimSubject;
  readonly facts: ClaimFacts<R>;
  readonly record: ClaimRecord;
  readonly endings: Endings;
  /** What the lease rests on, each with when the call that won it was sent. */
  readonly guards: readonly { readonly guard: Guard; readonly sentAtMs: number }[];
  /** Ends it in the ledger and gives its locks back when the process ends: one try. */
  abandon(): Promise<unknown>;
}

/** Runs the handler with the claim, renews its lease meanwhile, and ends it. Never throws. */
export async function workUnderLease<R, T>(
  parts: EngineParts,
  won: WonClaim<R>,
  options: { readonly maxHoldMs?: number | undefined; readonly signal?: AbortSignal | undefined },
  handler: (claim: Claim<R>) => Promise<T>,
): Promise<Outcome<T>> {
  const { subject, facts } = won;
  const { keeper, running } = parts.holding;
  const about = { ...subject, token: facts.token };
  const lease = new Lease({
    clock: parts.clock,
    about: subject,
    maxHoldMs: options.maxHoldMs,
    onLost: (reason) => parts.events.emit("claim:lost", { ...about, reason }),
  });
  const renewal = { stop: () => keeper.drop(lease), resume: () => keeper.resume(lease) };
  const claim = new HeldClaim<R>(facts, { lease, renewal, record: won.record });
  const work: Work = { lease, abandon };

  for (const { guard, sentAtMs } of won.guards) keeper.keep(lease, guard, sentAtMs);
  running.add(work);
  parts.events.emit("claim:acquired", { ...about, attempt: facts.attempt, resumed: facts.resumed });
  try {
    return await runHandler(claim, lease, won.endings, options.signal, handler);
  } finally {
    running.remove(work);
    keeper.drop(lease);
  }

  async function abandon(): Promise<void> {
    await won.abandon().catch((error: unknown) => {
      parts.events.emit("background:failed", { what: "ending a lease at close", error });
    });
  }
}
