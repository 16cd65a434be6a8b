import { setTimeout as delay } from "node:timers/promises";
import type pg from "pg";
import { eventually } from "../support/eventually.ts";
import type { EpisodePlan } from "./episode-plan.ts";
import type { ServerFault } from "./fault.ts";
import { type HistoryLog, monotonicMs } from "./history-log.ts";
import type { PodCrew } from "./pod-crew.ts";
import { randomOf, type SeededRandom } from "./random-of.ts";

const HEAL_LIMIT_MS = 60_000;

/** What the nemesis works with. */
export interface NemesisPorts {
  readonly plan: EpisodePlan;
  readonly crew: PodCrew;
  readonly database: pg.Pool;
  readonly log: HistoryLog;
  /** Of the servers that the episode works with. */
  readonly serverFaults: readonly ServerFault[];
}

/** Plays faults from outside of the pods until `signal` aborts. Resolves once every fault is healed. */
export async function playFaults(ports: NemesisPorts, signal: AbortSignal): Promise<void> {
  const every = async (
    name: string,
    leastMs: number,
    mostMs: number,
    play: (random: SeededRandom) => unknown,
  ): Promise<void> => {
    const random = randomOf(ports.plan.seed, "nemesis", ports.plan.index, name);
    while (!signal.aborted) {
      await delay(random.between(leastMs, mostMs), undefined, { signal }).catch(() => {});
      // A server that was struck meanwhile answers nothing, which is what was wanted.
      if (!signal.aborted) await Promise.resolve(play(random)).catch(() => {});
    }
  };
  await Promise.all([
    every("kill", 3_000, 6_000, (random) => killOne(ports, random)),
    every("stop", 5_000, 9_000, (random) => stopSeveral(ports, random)),
    every("backend", 600, 1_400, (random) => endBackend(ports, random)),
    every("rows", 3_000, 5_000, () => lockFreeRows(ports)),
    every("server", 2_000, 6_000, (random) => strikeServer(ports, random, signal)),
  ]);
}

function killOne({ crew }: NemesisPorts, random: SeededRandom): void {
  if (crew.awake.length > 1) crew.kill(random.oneOf(crew.awake));
}

/** Two at once: those that are left take over from both. */
function stopSeveral({ crew }: NemesisPorts, random: SeededRandom): void {
  const isLong = random.fraction() < 0.4;
  const leastMs = isLong ? crew.leastMs.brokersTime : crew.leastMs.ttl;
  const kind = `SIGSTOP beyond the ${isLong ? "broker's time" : "ttl"}, two at once`;
  for (const pod of random.shuffled(crew.awake).slice(0, 2)) crew.stop(pod, kind, { forMs: leastMs * 1.2, leastMs });
}

/** The server ends a connection that is in use. It counts once the server no longer has it. */
async function endBackend({ crew, database, log }: NemesisPorts, random: SeededRandom): Promise<void> {
  const { rows } = await database.query(
    "select pid, application_name as pod from pg_stat_activity where datname = current_database() and application_name like 'pod-%' order by pid",
  );
  if (rows.length === 0) return;
  const { pid, pod } = random.oneOf(rows);
  const fault = { what: "fault", id: crew.nextFault(), kind: "database backend ended by the server", target: pod } as const;
  log.write({ ...fault, phase: "injected" });
  await database.query("select pg_terminate_backend($1, 1000)", [pid]);
  const left = await database.query("select from pg_stat_activity where pid = $1 and application_name = $2", [pid, pod]);
  if (left.rowCount === 0) log.write({ ...fault, phase: "hit" });
}

/** Somebody's transaction holds every free row for a moment and changes its mind: not one claimant may be told "empty" for that. */
async function lockFreeRows({ database }: NemesisPorts): Promise<void> {
  const client = await database.connect();
  const ignore = (): void => {};
  // A connection that is cut meanwhile fails its query, and an error that nobody listens to would end this process.
  client.on("error", ignore);
  try {
    await client.query("begin");
    await client.query("select id from voucher_item where user_id is null for update skip locked");
    await client.query("select pg_sleep(0.3)");
    await client.query("rollback");
    client.removeListener("error", ignore);
    client.release();
  } catch (error) {
    client.release(true);
    throw error;
  }
}

async function strikeServer(
  { crew, log, plan, serverFaults }: NemesisPorts,
  random: SeededRandom,
  signal: AbortSignal,
): Promise<void> {
  const ours = serverFaults.filter((fault) => isInTurn(fault, plan));
  if (ours.length === 0) return;
  const server = random.oneOf(ours);
  const { kind, target, breaksExclusion } = server;
  const fault = { what: "fault", id: crew.nextFault(), kind, target, breaksExclusion } as const;
  log.write({ ...fault, phase: "injected" });
  try {
    await server.inject();
    const injectedAt = monotonicMs();
    const hasHit = await server.hasHit();
    if (hasHit && server.leastMs === undefined) log.write({ ...fault, phase: "hit" });
    await delay(random.between(...server.lastsMs), undefined, { signal }).catch(() => {});
    // One that is named by its time is none when it was cut short.
    const hasLasted = server.leastMs !== undefined && monotonicMs() - injectedAt >= server.leastMs;
    if (hasHit && hasLasted && (await server.hasHit())) log.write({ ...fault, phase: "hit" });
  } finally {
    // Its server is needed by all that follows: what does not heal at once is tried again.
    await eventually(() => server.heal().then(() => true), { timeoutMs: HEAL_LIMIT_MS, what: `the end of "${kind}"` });
    log.write({ ...fault, phase: "healed" });
  }
}

/** After the ledger's clock has jumped back, whoever died meanwhile has its claims for as long as the jump: seldom, since all wait for it. */
export const CLOCK_JUMP_EVERY = 8;

function isInTurn({ kind, target }: ServerFault, { index }: EpisodePlan): boolean {
  return target !== "postgres" || !kind.includes("clock") || index % CLOCK_JUMP_EVERY === CLOCK_JUMP_EVERY - 1;
}
