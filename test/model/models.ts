import type { Model } from "./model.ts";

const ONE_OF_EACH = "2 pods, 3 messages, 2 rows, 1 fault of each kind";
const RESOURCE = "2 clients, 4 takes, 2 crashes, leases end at any moment";
const REDLOCK = "3 nodes, 2 clients, 3 deliveries";
const OUTBOX = "2 pods, 2 dispatchers, 3 crashes, 2 lost answers";
const EMPTY = "2 rows, 2 strangers, 3 claims";

/** Every search of `npm run model`. A model without a variant that fails proves nothing, so each file has at least one. */
export const models: readonly Model[] = [
  { name: "pool-claim", file: "pool-claim.pml", defines: [], expected: "pass", bounds: ONE_OF_EACH },
  {
    name: "pool-claim/two-crashes",
    file: "pool-claim.pml",
    defines: ["CRASHES=2", "MESSAGES=2"],
    expected: "pass",
    bounds: "2 pods, 2 messages, 2 rows, 2 crashes, 1 of each other fault",
  },
  {
    name: "pool-claim/two-lapses",
    file: "pool-claim.pml",
    defines: ["LAPSES=2", "MESSAGES=2", "LOST_ANSWERS=2"],
    expected: "pass",
    bounds: "2 pods, 2 messages, 2 rows, 2 early lapses, 2 lost answers",
  },
  ...variants("pool-claim", ONE_OF_EACH, [
    ["naive", "NAIVE", "S1"],
    ["no-key", "NO_KEY", "S2"],
    ["second-row", "SECOND_ROW", "S2"],
    ["token-before-lock", "TOKEN_BEFORE_LOCK", "S3"],
    ["no-fence", "NO_FENCE", "S4"],
    ["settle-first", "SETTLE_FIRST", "S5"],
    ["unknown-is-done", "UNKNOWN_IS_DONE", "S5"],
  ]),
  {
    name: "pool-claim/progress",
    file: "pool-claim.pml",
    defines: ["LIVENESS", "MESSAGES=2"],
    expected: "pass",
    liveness: true,
    bounds: "2 pods, 2 messages, 2 rows, 1 fault of each kind, weak fairness",
  },
  {
    name: "pool-claim/lease-forever",
    file: "pool-claim.pml",
    defines: ["LIVENESS", "LEASE_FOREVER", "MESSAGES=2"],
    expected: "fail",
    breaks: "L1",
    liveness: true,
    bounds: "as progress",
  },
  { name: "named-resource", file: "named-resource.pml", defines: [], expected: "pass", bounds: RESOURCE },
  ...variants("named-resource", RESOURCE, [
    ["no-fence", "NO_FENCE", "S4"],
    ["check-then-write", "CHECK_THEN_WRITE", "S4"],
    ["token-kept", "TOKEN_KEPT", "S3"],
    ["receiver-without-memory", "RECEIVER_WITHOUT_MEMORY", "I4"],
  ]),
  {
    name: "redlock/no-faults",
    file: "redlock.pml",
    defines: ["EXCLUSION", "NO_FAULTS"],
    expected: "pass",
    bounds: `${REDLOCK}, no fault`,
  },
  ...variants("redlock", `${REDLOCK}, 2 clock jumps or empty restarts`, [["exclusion", "EXCLUSION", "exclusion"]]),
  {
    name: "redlock/ledger",
    file: "redlock.pml",
    defines: ["LEDGER"],
    expected: "pass",
    bounds: `${REDLOCK}, 2 clock jumps or empty restarts`,
  },
  ...variants("redlock", `${REDLOCK}, 2 clock jumps or empty restarts`, [
    ["no-fence", "LEDGER NO_FENCE", "S4"],
    ["no-ledger", "NO_LEDGER", "S1"],
  ]),
  ...variants("redlock", `${REDLOCK}, no fault but a pause`, [["pause", "NO_LEDGER NO_FAULTS", "S1"]]),
  { name: "outbox", file: "outbox.pml", defines: [], expected: "pass", bounds: OUTBOX },
  ...variants("outbox", OUTBOX, [
    ["outside", "OUTSIDE", "once"],
    ["before", "BEFORE", "only after"],
    ["no-dedupe", "NO_DEDUPE", "at most once"],
    ["delete-first", "DELETE_FIRST", "once"],
  ]),
  { name: "honest-empty", file: "honest-empty.pml", defines: [], expected: "pass", bounds: EMPTY },
  ...variants("honest-empty", EMPTY, [["skipping-miss", "SKIPPING_MISS", "S6"]]),
];

function variants(
  model: string,
  bounds: string,
  bugs: readonly (readonly [name: string, defines: string, breaks: string])[],
): Model[] {
  return bugs.map(([name, defines, breaks]) => ({
    name: `${model}/${name}`,
    file: `${model}.pml`,
    defines: defines.split(" "),
    expected: "fail",
    breaks,
    bounds,
  }));
}
