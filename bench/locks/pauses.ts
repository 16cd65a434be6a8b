/**
 * A process that holds locks is stopped where it is (SIGSTOP) until their ttl is over and others have taken them, and goes on. Does
 * it act all the same?
 *
 * Each way of using a lock (see `pause-uses.ts`) has a process of its own, a Redis of its own, and in each cycle fresh keys, on which
 * it does an effect every few ms. An effect overlaps when it happened after somebody else was told to have the key. In PostgreSQL: when
 * it was written after one with a greater token.
 */
import { setTimeout as delay } from "node:timers/promises";
import { createExclaim } from "exclaim";
import type pg from "pg";
import { Child } from "../child.ts";
import type { Stage } from "../stage.ts";
import { CONNECTIONS } from "./connections.ts";
import type { PauseSizes } from "./options.ts";
import type { PauseCalls } from "./pause-calls.ts";
import { claimRivals, type Rivals, redisRivals } from "./pause-rivals.ts";
import { PAUSE_USES, type PauseUse } from "./pause-uses.ts";

/** A transaction takes longer than a look at a variable. */
const FENCED_STEPS = 4;

export interface PauseRow {
  readonly use: string;
  /** One a pause and key. */
  readonly cycles: number;
  readonly effects: number;
  readonly overlappingCycles: number;
  readonly overlappingEffects: number;
  readonly uncaught: number;
}

export interface PauseReport {
  readonly ttlMs: number;
  readonly pauses: number;
  readonly keys: number;
  readonly rows: readonly PauseRow[];
}

interface Counts {
  effects: number;
  overlappingCycles: number;
  overlappingEffects: number;
}

type Schema = Awaited<ReturnType<Stage["openSchema"]>>;

export async function measurePauses(stage: Stage, sizes: PauseSizes): Promise<PauseReport> {
  const schema = await stage.openSchema();
  await createEffectTable(schema);
  const rows = await Promise.all(PAUSE_USES.map((use) => measureUse(stage, use, schema, sizes)));
  const { ttlMs, pauses, keys } = sizes;
  return { ttlMs, pauses, keys, rows };
}

async function measureUse(stage: Stage, use: PauseUse, schema: Schema, sizes: PauseSizes): Promise<PauseRow> {
  const { ttlMs, pauses, keys } = sizes;
  const child = Child.start<PauseCalls>(stage, "locks/pause-holder.ts");
  const [server] = use.redisKey === undefined ? [] : await stage.startRedis(1);
  const redisUrl = server?.url ?? "";
  const stepMs = use.redisKey === undefined ? FENCED_STEPS * sizes.stepMs : sizes.stepMs;
  await child.ask("open", { use: use.name, redisUrl, databaseUrl: schema.url, schema: schema.schema, ttlMs, stepMs });
  const rivals = await openRivals(stage, use, redisUrl, schema);
  const counts: Counts = { effects: 0, overlappingCycles: 0, overlappingEffects: 0 };
  for (let pause = 0; pause < pauses; pause += 1) {
    const names = Array.from({ length: keys }, (_, index) => `pause:${pause}:${index}`);
    await playPause(child, rivals, names, ttlMs, counts);
  }
  if (use.redisKey === undefined) await countInDatabase(schema, counts);
  const { uncaught } = await child.condition();
  return { use: use.name, cycles: pauses * keys, ...counts, uncaught: uncaught.length };
}

async function openRivals(stage: Stage, use: PauseUse, url: string, schema: Schema): Promise<Rivals> {
  if (use.redisKey === undefined) return claimRivals(stage, schema.url, schema.schema);
  const [client] = await stage.connect([url], CONNECTIONS.plain());
  if (client === undefined) throw new Error("one URL makes one connection");
  return redisRivals(client, use.redisKey);
}

async function playPause(
  child: Child<PauseCalls>,
  rivals: Rivals,
  keys: readonly string[],
  ttlMs: number,
  counts: Counts,
): Promise<void> {
  await child.ask("work", { keys });
  // The pause begins anywhere between two renewals.
  await delay(ttlMs * (0.3 + Math.random()));
  child.pause();
  const takenAtMs = await rivals.take(keys).finally(() => child.resume());
  await delay(ttlMs / 2);
  const effects = await child.ask("report", undefined);
  await rivals.release();
  for (const [index, key] of keys.entries()) {
    const instants = effects[key] ?? [];
    const overlapping = instants.filter((atMs) => atMs > (takenAtMs[index] ?? Number.POSITIVE_INFINITY)).length;
    counts.effects += instants.length;
    counts.overlappingEffects += overlapping;
    if (overlapping > 0) counts.overlappingCycles += 1;
  }
}

async function createEffectTable({ schema, pool }: Schema): Promise<void> {
  const exclaim = createExclaim({ database: pool, schema });
  await exclaim.migrate();
  await exclaim.close({ drainMs: 0 });
  await pool.query(`create table ${schema}.effect (id bigint generated always as identity, key text, token bigint)`);
}

/** The order in which the database let them through, whatever the processes saw. */
async function countInDatabase({ schema, pool }: { schema: string; pool: pg.Pool }, counts: Counts): Promise<void> {
  const { rows } = await pool.query<{ effects: number; cycles: number }>(
    `select count(*)::int as effects, count(distinct key)::int as cycles from ${schema}.effect stale
      where exists (select from ${schema}.effect newer
        where newer.key = stale.key and newer.token > stale.token and newer.id < stale.id)`,
  );
  counts.overlappingEffects = rows[0]?.effects ?? Number.NaN;
  counts.overlappingCycles = rows[0]?.cycles ?? Number.NaN;
}
