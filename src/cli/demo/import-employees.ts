import type pg from "pg";
import { type EmployeeRow, readEmployees } from "./read-employees.ts";

/** What became of the rows of the file. */
export interface ImportReport {
  readonly rows: number;
  readonly users: number;
  /** Rows that list a user again. */
  readonly duplicates: number;
  readonly rejected: readonly { readonly line: number; readonly reason: string }[];
}

const CHUNK = 500;

/**
 * Reads the file once into the tables of `schema`: `app_user`, every user once, as first listed; `import_row`, every row that
 * names a user, duplicates too.
 */
export async function importEmployees(client: pg.ClientBase, schema: string, path: string): Promise<ImportReport> {
  await client.query(`
    create schema ${schema};
    create table ${schema}.app_user (id integer primary key, name text not null, email text not null, department text not null);
    create table ${schema}.import_row (line integer primary key, user_id integer not null);
  `);
  const rejected: { line: number; reason: string }[] = [];
  let rows = 0;
  let users = 0;
  let chunk: Listed[] = [];
  for await (const row of readEmployees(path)) {
    rows += 1;
    if ("rejected" in row) rejected.push({ line: row.line, reason: row.rejected });
    else chunk.push(row);
    if (chunk.length < CHUNK) continue;
    users += await store(client, schema, chunk);
    chunk = [];
  }
  users += await store(client, schema, chunk);
  return { rows, users, duplicates: rows - rejected.length - users, rejected };
}

type Listed = Extract<EmployeeRow, { employee: unknown }>;

/** Returns how many users were new. */
async function store(client: pg.ClientBase, schema: string, listed: readonly Listed[]): Promise<number> {
  const { rowCount } = await client.query(
    `insert into ${schema}.app_user (id, name, email, department)
     select * from unnest($1::integer[], $2::text[], $3::text[], $4::text[])
     on conflict (id) do nothing`,
    [
      listed.map((row) => row.employee.id),
      listed.map((row) => row.employee.name),
      listed.map((row) => row.employee.email),
      listed.map((row) => row.employee.department),
    ],
  );
  await client.query(`insert into ${schema}.import_row (line, user_id) select * from unnest($1::integer[], $2::integer[])`, [
    listed.map((row) => row.line),
    listed.map((row) => row.employee.id),
  ]);
  return rowCount ?? 0;
}
