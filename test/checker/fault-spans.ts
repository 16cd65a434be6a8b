import type { Fault } from "./history.ts";

/** A time, both ends included. */
export interface Span {
  readonly fromAt: number;
  readonly toAt: number;
}

/** A fault that came about: from when it was put in until it was last seen. */
export interface FaultSpan extends Span {
  readonly id: string;
  readonly target: string;
  readonly isHealed: boolean;
}

/** A fault that was put in and neither hit nor had to be healed did nothing. One that has no end is momentary. */
export function faultSpans(faults: readonly Fault[]): FaultSpan[] {
  const spans = new Map<string, FaultSpan>();
  const cameAbout = new Set<string>();
  for (const { id, target, phase, at } of faults) {
    const known = spans.get(id);
    const isHealed = phase === "healed" || known?.isHealed === true;
    spans.set(id, { id, target, fromAt: Math.min(known?.fromAt ?? at, at), toAt: Math.max(known?.toAt ?? at, at), isHealed });
    if (phase !== "injected") cameAbout.add(id);
  }
  return [...spans.values()].filter(({ id }) => cameAbout.has(id));
}

/** Faults that ended the process they name, by its name: nothing is logged by it after them. */
export function deathsOf(faults: readonly Fault[]): Map<string, Fault> {
  const deaths = new Map<string, Fault>();
  for (const fault of faults) if (fault.phase === "hit" && /kill/i.test(fault.kind)) deaths.set(fault.target, fault);
  return deaths;
}

export function touches(one: Span, other: Span): boolean {
  return one.fromAt <= other.toAt && one.toAt >= other.fromAt;
}
