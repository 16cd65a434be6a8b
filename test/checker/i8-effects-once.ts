import type { Effect, TokenChanged, Violation, Write } from "./history.ts";
import type { Grant, HistoryIndex, ResourceLog } from "./history-index.ts";
import { violation } from "./violation.ts";

/**
 * I8: a receiver that dedupes by key gets one effect out of the outbox for each write that publishes, none for what was not
 * committed; and no effect names a resource that its claimant never had. A handler's own effects may come any number of times.
 * Which writes publish: of those that complete, the ones that say so, and where none says, the ones that wrote, once any effect came
 * from an outbox. Other writes may publish or not: they bound how many effects a grant has.
 */
export function effectsOnce(index: HistoryIndex): Violation[] {
  const found: Violation[] = [];
  for (const effect of index.effects) scanHolder(index, effect, found);
  const hasOutbox = index.effects.some(({ via }) => via === "outbox");
  for (const log of index.resources.values()) {
    for (const grant of log.grants.values()) {
      const effects = grant.effects.length === 0 ? NONE : firstOfEachKey(grant);
      if (effects.length > 0) scanUnfounded(log, grant, effects, found);
      if (index.hasDump) scanMissing(log, grant, { effects, hasOutbox }, found);
    }
  }
  return found;
}

const NONE: readonly Effect[] = [];

/** How often effects came again, which is allowed. */
export function countDuplicateEffects(index: HistoryIndex): number {
  if (index.effects.length < 2) return 0;
  return index.effects.length - new Set(index.effects.map(({ key, via }) => `${via} ${key}`)).size;
}

/** A claim that nobody logged is still in the ledger's log: the process may have died before it could tell. */
function scanHolder(index: HistoryIndex, effect: Effect, found: Violation[]): void {
  const { claimant, resource, token } = effect;
  const grant = index.resources.get(resource)?.grants.get(token);
  const isIts = (event: { readonly claimant: string }) => event.claimant === claimant;
  if (grant !== undefined && (grant.started.some(isIts) || grant.changes.some(isIts))) return;
  const other = grant?.started[0] ?? grant?.changes[0];
  found.push(
    violation("I8", `an effect tells ${claimant} of ${resource} under token ${token}, which it never had`, other, effect),
  );
}

function firstOfEachKey({ effects }: Grant): Effect[] {
  const first = new Map<string, Effect>();
  for (const effect of effects) if (effect.via === "outbox" && !first.has(effect.key)) first.set(effect.key, effect);
  return [...first.values()];
}

/** More effects than writes: one was published that was not committed, or twice under other keys. */
function scanUnfounded({ resource }: ResourceLog, grant: Grant, effects: readonly Effect[], found: Violation[]): void {
  const writes = countWrites(grant);
  const completing = effects.filter(({ completes }) => completes === true);
  const plain = effects.filter(({ completes }) => completes === false);
  const tooMany =
    (completing.length > writes.completing && completing) ||
    (plain.length > writes.plain && plain) ||
    (effects.length > writes.completing + writes.plain && effects);
  if (!tooMany) return;
  const sentence = `${tooMany.length} effects of ${resource} came under token ${grant.token}, from fewer writes`;
  found.push(violation("I8", sentence, grant.wrote[0], ...tooMany.slice(0, grant.wrote.length + 1)));
}

/** Those that are there. Where nobody looks at the table, those that did not fail, and the completions of the ledger. */
function countWrites({ wrote, calls, changes }: Grant): { readonly completing: number; readonly plain: number } {
  if (wrote.length > 0) {
    const completing = wrote.filter(({ completes }) => completes).length;
    return { completing, plain: wrote.length - completing };
  }
  const open = calls.filter(({ answer }) => answer?.phase !== "fail").map(({ first }) => first.completes);
  const plain = open.filter((completes) => !completes).length;
  const isCompleted = changes.some(({ status }) => status === "completed" || status === "free");
  return { completing: isCompleted ? Math.max(1, open.length - plain) : 0, plain };
}

interface Published {
  readonly effects: readonly Effect[];
  readonly hasOutbox: boolean;
}

function scanMissing({ resource }: ResourceLog, grant: Grant, { effects, hasOutbox }: Published, found: Violation[]): void {
  if (effects.some(({ completes }) => completes !== false)) return;
  const wrote = grant.wrote.find(({ completes }) => completes);
  const said = saysPublishes(grant);
  const completed = wrote ?? (said === true ? completionOf(grant) : undefined);
  if (completed === undefined || !(said ?? hasOutbox)) return;
  found.push(violation("I8", `${resource} was completed under token ${grant.token}, and its effect never came`, completed));
}

/** Whether a completion publishes, of those that did not fail; undefined when none says. Several may share a key under one token. */
function saysPublishes({ calls }: Grant): boolean | undefined {
  let said: boolean | undefined;
  for (const { first, answer } of calls) {
    if (!first.completes || first.publishes === undefined || answer?.phase === "fail") continue;
    if (first.publishes) return true;
    said = false;
  }
  return said;
}

/** Of a grant that nobody watched the writes of: the ledger says so, or the caller was told. */
function completionOf({ changes, calls }: Grant): TokenChanged | Write | undefined {
  const change = changes.find(({ status }) => status === "completed");
  return (
    change ?? calls.find(({ first, answer }) => first.publishes === true && first.completes && answer?.phase === "ok")?.answer
  );
}
