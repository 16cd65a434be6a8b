import { randomBytes } from "node:crypto";
import pg from "pg";
import { securityBlock } from "./security-guide.ts";

/** Which tables the documented grants are applied to. */
export interface Granted {
  readonly schema: string;
  /** The table of a pool, and which of its columns claims write: the owner column and those of `set`. */
  readonly pool?: { readonly table: string; readonly columns: readonly string[] };
}

/** The three roles that SECURITY.md describes, for one test file. */
export interface DatabaseRoles {
  /** Applies the grants of SECURITY.md, all of them and no others. */
  grant(of: Granted): Promise<void>;
  /** Connections that act as the role, with a search path of their own: a pool that the caller ends. */
  connect(role: RoleName, options?: pg.PoolConfig): pg.Pool;
  /** Drops the roles: after all that was granted to them is gone, or with it. */
  drop(): Promise<void>;
}

export type RoleName = "app" | "producer" | "dispatcher";
const ROLE_NAMES: readonly RoleName[] = ["app", "producer", "dispatcher"];

/** `sql`: connections of a superuser to the database at `url`. The roles have no way to log in: sessions become them. */
export async function databaseRoles(sql: pg.Pool, url: string): Promise<DatabaseRoles> {
  const suffix = randomBytes(6).toString("hex");
  const nameOf = (role: string) => `exclaim_${role}_${suffix}`;
  const names = ROLE_NAMES.map(nameOf);
  await sql.query(
    `${names.map((name) => `create role ${name} nologin;`).join(" ")} revoke create on schema public from public`,
  );
  return {
    grant: async (of) => {
      await sql.query(grantsText(of, nameOf));
    },
    connect: (role, options = {}) => {
      const settings = `-c role=${nameOf(role)} -c search_path=public`;
      const pool = new pg.Pool({ connectionString: url, ...options, options: settings });
      // Connections that are still ending are cut when the database is dropped.
      pool.on("error", () => {});
      return pool;
    },
    drop: async () => {
      await sql.query(names.map((name) => `drop owned by ${name}; drop role ${name};`).join(" "));
    },
  };
}

/** The block of SECURITY.md about these tables and roles; without a pool, all but the pool's own line. */
function grantsText({ schema, pool }: Granted, nameOf: (role: string) => string): string {
  return securityBlock("sql")
    .split("\n")
    .map((line) => line.replace(/--.*/, ""))
    .filter((line) => pool !== undefined || !line.includes("voucher_item"))
    .map((line) => line.replace(/ to ([a-z, ]+);/, (_, roles: string) => ` to ${roles.split(", ").map(nameOf).join(", ")};`))
    .join("\n")
    .replaceAll("(user_id, status) on voucher_item", `(${pool?.columns.join(", ")}) on ${pool?.table}`)
    .replaceAll("schema exclaim", `schema ${schema}`)
    .replaceAll("exclaim.", `${schema}.`);
}
