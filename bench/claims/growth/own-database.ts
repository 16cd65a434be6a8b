import pg from "pg";
import type { BenchSchema, Stage } from "../../stage.ts";

/**
 * A database of a case's own on the server of the given one, dropped with the stage: a transaction that stays open keeps the dead rows of
 * every table of its database.
 */
export async function ownDatabase(
  stage: Stage,
  { url, schema, pool: server }: BenchSchema,
  name: string,
): Promise<BenchSchema> {
  const database = `${schema}_${name}`;
  await server.query(`create database ${database}`);
  stage.atEnd(() => server.query(`drop database ${database} with (force)`));
  const ownUrl = new URL(url);
  ownUrl.pathname = `/${database}`;
  const pool = new pg.Pool({ connectionString: ownUrl.href });
  pool.on("error", () => {});
  stage.atEnd(() => pool.end());
  await pool.query(`create schema ${schema}`);
  return { url: ownUrl.href, schema, pool };
}
