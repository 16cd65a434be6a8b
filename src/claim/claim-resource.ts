import { ExclaimError } from "../errors.ts";
import type { Spacing } from "../ledger/resource-ledger.ts";
import type { Outcome } from "../settle/outcome.ts";
import { accountRow } from "./account-row.ts";
import { checkBeat, checkResourceName, checkResourceRequest } from "./check-resource-request.ts";
import type { Claim } from "./claim.ts";
import { claimWithWait } from "./claim-with-wait.ts";
import { deliverResource } from "./deliver-resource.ts";
import { deliver, nameOf } from "./delivery.ts";
import type { EngineParts } from "./engine-parts.ts";
import { noteDeadLetter } from "./note-dead-letter.ts";
import type { Resource, ResourceClaimRequest } from "./resource.ts";
import { serveBeat } from "./serve-beat.ts";

/** The key of a beat that is not named. */
const DEFAULT_BEAT_KEY = "beat";

/** A named resource's keys, claimed by this engine. Throws CONFIG_INVALID. */
export function resourceOf(parts: EngineParts, given: string): Resource {
  const name = checkResourceName(given);
  return {
    name,
    claim: (request, handler) => claimKey(request, handler, () => checkResourceRequest(request)),
    every(intervalMs, handler, { key = DEFAULT_BEAT_KEY, maxHoldMs, signal } = {}) {
      const request = { key, ...(maxHoldMs === undefined ? {} : { maxHoldMs }) };
      checkBeat(intervalMs, handler, { ...request, ...(signal === undefined ? {} : { signal }) });
      return serveBeat(parts, {
        intervalMs,
        signal,
        async claim(isStopping) {
          let hasRun = false;
          const run = async (claim: Claim<undefined>): Promise<void> => {
            if (isStopping()) throw new ExclaimError("ABORTED", "the beat was stopped before this run began");
            hasRun = true;
            await handler(claim);
          };
          const outcome = await claimKey(request, run, () => ({ from: "beat", intervalMs }));
          return { outcome, hasRun };
        },
      });
    },
    noteDeadLetter: (letter) => noteDeadLetter(parts, { resource: name }, letter),
    accountRow: (note) => accountRow(parts, { resource: name }, note),
    jitter: () => parts.random.fraction(),
  };

  function claimKey<T>(
    request: ResourceClaimRequest,
    handler: (claim: Claim<undefined>) => Promise<T>,
    spacingOf: () => Spacing,
  ): Promise<Outcome<T>> {
    return deliver(parts, {
      subject: { resource: name, key: nameOf(request?.key) },
      handler,
      signal: request?.signal,
      async deliver() {
        const spacing = spacingOf();
        return claimWithWait(parts, request, (waitMs) => deliverResource(parts, name, request, spacing, waitMs, handler));
      },
    });
  }
}
