/** What pan, the verifier that spin makes of a model, printed at its end. */
export interface Verdict {
  /** `error`: the search was cut short, or is not the one that was asked for, so nothing is known. */
  readonly result: "pass" | "fail" | "error";
  /** States that were stored. */
  readonly states: number;
  /** Steps of the longest way that was searched. */
  readonly depth: number;
  /** Why it is an error. */
  readonly reason?: string;
}

/** Signs that pan did not look at everything. */
const CUT_SHORT = [
  "max search depth too small",
  "reached -DMEMLIM bound",
  "out of memory",
  "Search not completed",
  "Bit statespace search",
  "Hash-Compact",
  "too many processes",
  "VECTORSZ",
] as const;

/** Reads pan's report. A search that was cut short is never a pass, whatever it found on its way. */
export function readVerdict(report: string, looksFor: "assertions" | "cycles"): Verdict {
  const states = Number(/^\s*([\d.e+]+) states, stored/m.exec(report)?.[1] ?? Number.NaN);
  const depth = Number(/depth reached (\d+)/.exec(report)?.[1] ?? Number.NaN);
  const errors = /errors: (\d+)/.exec(report)?.[1];
  const known = { states: Number.isFinite(states) ? states : 0, depth: Number.isFinite(depth) ? depth : 0 };

  if (errors === undefined) return { ...known, result: "error", reason: lastLine(report) };
  if (!hasLookedFor(report, looksFor)) return { ...known, result: "error", reason: `pan did not look for ${looksFor}` };
  if (Number(errors) > 0) return { ...known, result: "fail" };
  const cut = CUT_SHORT.find((sign) => report.includes(sign));
  if (cut !== undefined) return { ...known, result: "error", reason: `the search was not exhaustive: ${cut}` };
  if (known.states === 0) return { ...known, result: "error", reason: "no state was searched" };
  return { ...known, result: "pass" };
}

function hasLookedFor(report: string, looksFor: "assertions" | "cycles"): boolean {
  if (looksFor === "cycles") return /acceptance\s+cycles\s+\+ \(fairness enabled\)/.test(report);
  return /assertion violations\s+\+/.test(report) && /invalid end states\s+\+/.test(report);
}

function lastLine(report: string): string {
  return report.trim().split("\n").at(-1) || "pan printed nothing";
}
