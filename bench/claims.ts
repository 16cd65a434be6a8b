/**
 * Claim and completion, pairs a second: the engine at several numbers of concurrent claimants, beside the same done by hand, one
 * after the other and in turns, on the same server and the same data.
 *
 *     DATABASE_URL=postgres://… npm run bench
 *
 * A program that people run to see numbers side by side; nothing is asserted here.
 */
import { createExclaim } from "exclaim";
import pg from "pg";

const ROUNDS = 5;
const PAIRS = 2_000;
const CONCURRENCY = [1, 10, 100, 1_000];

const database = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 20 });
const schema = `bench_${process.pid}`;
await database.query(`create schema ${schema}`);
const exclaim = createExclaim({ database, schema });

try {
  await exclaim.migrate();
  const rows = CONCURRENCY.length * ROUNDS * PAIRS;
  for (const table of ["engine_voucher", "manual_voucher"]) {
    await database.query(`create table ${schema}.${table} (id bigint primary key, code text, user_id bigint, done boolean)`);
    await database.query(`insert into ${schema}.${table} select i, 'CODE-' || i from generate_series(1, ${rows}) i`);
    await database.query(`create index on ${schema}.${table} (id) where user_id is null`);
    await database.query(`analyze ${schema}.${table}`);
  }
  const vouchers = exclaim.pool({ table: `${schema}.engine_voucher`, ownerColumn: "user_id" });
  let claimant = 0;

  const engine = async (): Promise<void> => {
    claimant += 1;
    const outcome = await vouchers.claim({ claimant: String(claimant) }, async () => ({ done: true }));
    if (outcome.status !== "completed") throw new Error(`a claim ended ${outcome.status}`, { cause: outcome });
  };
  const byHand = async (): Promise<void> => {
    claimant += 1;
    const { rows: chosen } = await database.query(
      `update ${schema}.manual_voucher set user_id = $1 where user_id is null and id =
         (select id from ${schema}.manual_voucher where user_id is null limit 1 for update skip locked) returning id`,
      [claimant],
    );
    await database.query(`update ${schema}.manual_voucher set done = true where id = $1 and user_id = $2`, [
      chosen[0].id,
      claimant,
    ]);
  };

  const table: Record<string, string>[] = [];
  for (const concurrency of CONCURRENCY) {
    const seen: { engine: number[]; byHand: number[] } = { engine: [], byHand: [] };
    for (let round = 0; round < ROUNDS; round += 1) {
      seen.engine.push(await pairsPerSecond(engine, concurrency));
      seen.byHand.push(await pairsPerSecond(byHand, concurrency));
    }
    const ratio = median(seen.engine) / median(seen.byHand);
    table.push({
      claimants: String(concurrency),
      "exclaim/s": spread(seen.engine),
      "by hand/s": spread(seen.byHand),
      ratio: ratio.toFixed(2),
    });
  }
  console.table(table);
} finally {
  await exclaim.close();
  await database.query(`drop schema ${schema} cascade`);
  await database.end();
}

async function pairsPerSecond(pair: () => Promise<void>, concurrency: number): Promise<number> {
  let left = PAIRS;
  const startMs = performance.now();
  const lane = async (): Promise<void> => {
    while (left > 0) {
      left -= 1;
      await pair();
    }
  };
  await Promise.all(Array.from({ length: concurrency }, lane));
  return (PAIRS / (performance.now() - startMs)) * 1_000;
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

function spread(values: readonly number[]): string {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  return `${Math.round(median(values))} (${Math.round(low)} to ${Math.round(high)})`;
}
