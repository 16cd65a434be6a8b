import type { Check, Mutant } from "../mutant.ts";

const JUDGE: Check = { files: ["test/checker/judge.test.ts"] };
const LOGS: Check = { files: ["test/checker/read-history.test.ts"] };
const DEFINITIONS: Check = { files: ["test/checker/brute-force.test.ts"] };

/** Of the checker itself: what would let a broken run pass for a good one, or a run that tried nothing. */
export const mutants: readonly Mutant[] = [
  {
    bug: "checker: a call whose answer was lost counts as one that failed",
    file: "test/checker/history-index.ts",
    instead: "  else call.answer = event;",
    plant: '  else call.answer = event.phase === "info" ? { ...event, phase: "fail" } : event;',
    caughtBy: JUDGE,
  },
  {
    bug: "checker: the last lines of each log are not read",
    file: "test/checker/read-history.ts",
    instead: 'const lines = readFileSync(join(folder, name), "utf8").split("\\n");',
    plant: 'const lines = readFileSync(join(folder, name), "utf8").split("\\n").slice(0, -10);',
    caughtBy: LOGS,
  },
  {
    bug: "checker: a line that is damaged is passed over wherever it stands",
    file: "test/checker/read-history.ts",
    instead: "else if (index === lines.length - 1) tornLines += 1;",
    plant: "else if (index < lines.length) tornLines += 1;",
    caughtBy: LOGS,
  },
  {
    bug: "checker: commit order is the order of arrival",
    file: "test/checker/history-index.ts",
    instead: "    if (n < last) {",
    plant: "    if (n < last && n === last) {",
    caughtBy: DEFINITIONS,
  },
  {
    bug: "checker: commit order is that of the wall clock",
    file: "test/checker/history-index.ts",
    instead:
      "  for (const { n } of events) {\n    if (n < last) {\n      events.sort((one, other) => one.n - other.n);\n      return;\n    }\n    last = n;\n  }",
    plant: "  if (last < 0) (events as unknown as { at: number }[]).sort((one, other) => one.at - other.at);",
    caughtBy: JUDGE,
  },
  {
    bug: "checker: an empty log is valid",
    file: "test/checker/judge.ts",
    instead: '  if (!index.frames.some(({ mark }) => mark === "ended")) return',
    plant: '  if (index.frames.length > 0 && !index.frames.some(({ mark }) => mark === "ended")) return',
    caughtBy: JUDGE,
    also: [{ instead: "  if (!index.hasDump) return", plant: "  if (index.frames.length > 0 && !index.hasDump) return" }],
  },
  {
    bug: "checker: what is unknown is called valid",
    file: "test/checker/judge.ts",
    instead: 'reason === undefined ? "valid" : "unknown"',
    plant: 'reason === undefined ? "valid" : "valid"',
    caughtBy: JUDGE,
  },
  {
    bug: "checker: a fault counts when it was put in, whether it hit or not",
    file: "test/checker/judge.ts",
    instead: 'index.faults.filter(({ phase }) => phase === "hit")',
    plant: 'index.faults.filter(({ phase }) => phase !== "healed")',
    caughtBy: JUDGE,
  },
  {
    bug: "checker: a fenced write is compared with earlier writes, not with grants",
    file: "test/checker/i4-fenced-writes.ts",
    instead: "      scanAgainstGrants(log, found);\n",
    plant: "      if (log.changes.length < 0) scanAgainstGrants(log, found);\n",
    caughtBy: JUDGE,
  },
  {
    bug: "checker: a token may fall, as long as it is not the one before",
    file: "test/checker/i3-ordered-tokens.ts",
    instead: "event.token < newest.token) {",
    plant: "event.token < newest.token - 1) {",
    caughtBy: JUDGE,
  },
  {
    bug: "checker: rows of all pools and scopes count as free for everybody's refusal",
    file: "test/checker/i11-honest-empty.ts",
    instead: "const known = named === undefined ? undefined : pools.get(named);",
    plant: "const known = named === undefined ? undefined : pools.get('');",
    caughtBy: JUDGE,
  },
  {
    bug: "checker: an owner that is overwritten is no violation if the claim agrees",
    file: "test/checker/i1-one-owner.ts",
    instead: "    scanOwners(log, found);\n",
    plant: "    if (log.changes.length < 0) scanOwners(log, found);\n",
    caughtBy: JUDGE,
  },
  {
    bug: "checker: a message that still waits is left out",
    file: "test/checker/i6-every-message-ends.ts",
    instead: 'const waiting = ends.find(({ state }) => state === "waiting");',
    plant: 'const waiting = ends.find(({ state }) => state === "waiting" && ends.length > 9);',
    caughtBy: { ...JUDGE, titles: "I6 rejects: a message still waits" },
  },
  {
    bug: "checker: settled before the commit passes, as long as there is a commit",
    file: "test/checker/i6-settled-last.ts",
    instead: "!(first.at > settled.at + clockErrorMs)",
    plant: "!(first.at > settled.at + clockErrorMs + 1_000_000)",
    caughtBy: JUDGE,
  },
  {
    bug: "checker: an effect that never came is not missed",
    file: "test/checker/i8-effects-once.ts",
    instead: "      if (index.hasDump) scanMissing(",
    plant: "      if (!index.hasDump) scanMissing(",
    caughtBy: JUDGE,
  },
  {
    bug: "checker: any renewal makes up for a lease that ran out before",
    file: "test/checker/i9-held-in-time.ts",
    instead: "(own === undefined || ofAll.sentAt >= own.sentAt)",
    plant: "(own === undefined || ofAll.sentAt <= own.sentAt || ofAll.sentAt >= own.sentAt)",
    caughtBy: JUDGE,
  },
];
