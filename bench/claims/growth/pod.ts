/** A process with one engine or several: see `pod-calls.ts`. */
import { serve } from "../../child.ts";
import { claimsIn } from "./explain-claims.ts";
import type { ClaimStatement, GrowthPlace, PodCalls } from "./pod-calls.ts";
import { RecordedEngine } from "./recorded-engine.ts";

interface Begun {
  readonly place: GrowthPlace;
  readonly engines: readonly RecordedEngine[];
}

const cases = new Map<string, Begun>();

serve<PodCalls>({
  async begin({ name, place, engines }) {
    cases.set(name, { place, engines: Array.from({ length: engines }, () => new RecordedEngine(place)) });
  },
  async claim({ name, claimants: { first, count, concurrency } }) {
    const { engines } = begun(name);
    let next = first;
    const lane = async (_: unknown, index: number): Promise<void> => {
      const engine = engines[index % engines.length];
      while (next < first + count) {
        const claimant = next;
        next += 1;
        await engine?.claim(claimant);
      }
    };
    await Promise.all(Array.from({ length: Math.min(concurrency, count) }, lane));
  },
  async largestStatement(name) {
    // The latest of them: where an earlier one began to search is known to be claimed by now.
    const sent = begun(name).engines.flatMap((engine) => engine.sent);
    return foremost(sent.reverse().sort((a, b) => claimsIn(b) - claimsIn(a)));
  },
  async firstStatement({ name, claimant }) {
    const engine = new RecordedEngine(begun(name).place);
    await engine.claim(claimant);
    await engine.close();
    return foremost(engine.sent);
  },
  async close(name) {
    for (const engine of begun(name).engines) await engine.close();
    cases.delete(name);
  },
});

function begun(name: string): Begun {
  const found = cases.get(name);
  if (found === undefined) throw new Error("begin comes first");
  return found;
}

function foremost([first]: readonly ClaimStatement[]): ClaimStatement {
  if (first === undefined) throw new Error("no claim statement was sent");
  return first;
}
