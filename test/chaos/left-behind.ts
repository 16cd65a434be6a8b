import mysql from "mysql2/promise";
import type pg from "pg";
import type { Escaped, HistoryEvent } from "../checker/history.ts";
import type { LockName } from "./failpoint.ts";
import { askRedis } from "./servers/ask-redis.ts";

/** Who is asked what a process left. */
export interface Keepers {
  readonly database: pg.Pool;
  readonly lock: LockName;
  readonly lockUrls: readonly string[];
  /** Of the keys of outer locks. */
  readonly lockPrefix: string;
}

/** A process that closed in order. */
export interface ClosedPod {
  readonly pod: string;
  /** What it logged. */
  readonly events: readonly HistoryEvent[];
  /** Who won outer locks there. */
  readonly owners: readonly string[];
}

export type LeftBehind = Pick<Escaped, "kind" | "detail">;

const LIMIT_MS = 2_000;

const LEASES_SQL = `
select 'voucher_item:' || resource_id as resource, token::int from exclaim.claims
where status = 'held' and leased_until > clock_timestamp()
union all
select resource || ':' || key, token::int from exclaim.leases where status = 'held' and leased_until > clock_timestamp()`;

/** The leases and locks of a process that are still alive after it. Throws where a server does not tell. */
export async function leftBehind(closed: ClosedPod, keepers: Keepers): Promise<readonly LeftBehind[]> {
  // Both at once: what was left lasts no longer than a lease.
  const [leases, owners] = await Promise.all([aliveLeases(keepers), aliveOwners(keepers)]);
  const own = new Set(closed.events.flatMap((event) => (event.what === "leased" ? `${event.resource} ${event.token}` : [])));
  const lost = lostClaims(closed.events);
  const left = leases.filter((lease) => own.has(lease) && !lost.has(lease));
  return [
    ...left.map((lease) => ({ kind: "left-lease" as const, detail: `${closed.pod} closed and left ${lease}` })),
    ...closed.owners
      .filter((owner) => owners.has(owner))
      .map((owner) => ({ kind: "left-lock" as const, detail: `${closed.pod} closed and left the lock of ${owner}` })),
  ];
}

/** Shape: `order:key-1 7`, the resource and the token. A claim that was lost runs out by itself. */
function lostClaims(events: readonly HistoryEvent[]): ReadonlySet<string> {
  const lost = new Set(events.flatMap((event) => (event.what === "outcome" && event.status === "lost" ? event.delivery : [])));
  return new Set(
    events.flatMap((event) => (event.what === "started" && lost.has(event.delivery) ? `${event.resource} ${event.token}` : [])),
  );
}

async function aliveLeases({ database }: Keepers): Promise<readonly string[]> {
  const { rows } = await database.query<{ resource: string; token: number }>(LEASES_SQL);
  return rows.map(({ resource, token }) => `${resource} ${token}`);
}

/** Who has outer locks, as far as the lock's servers are cheap to ask. */
async function aliveOwners({ database, lock, lockUrls, lockPrefix }: Keepers): Promise<ReadonlySet<string>> {
  switch (lock) {
    case "redis":
    case "redlock":
    case "node-redlock":
      return new Set((await Promise.all(lockUrls.map((url) => redisOwners(url, lockPrefix)))).flat());
    case "postgres": {
      const sql = "select unnest(owners) as owner from exclaim.locks where leased_until > clock_timestamp()";
      return new Set((await database.query<{ owner: string }>(sql)).rows.map(({ owner }) => owner));
    }
    case "mysql":
      return new Set(await mysqlOwners(lockUrls[0] ?? "", `locks_${lockPrefix.replaceAll(/\W/g, "_")}`));
    default:
      return new Set();
  }
}

function redisOwners(url: string, prefix: string): Promise<readonly string[]> {
  return askRedis(url, async (client) => {
    const keys = (await client.keys("*")).filter((key) => key.startsWith(prefix));
    return (keys.length === 0 ? [] : await client.mget(keys)).filter((owner) => owner !== null);
  });
}

async function mysqlOwners(url: string, table: string): Promise<readonly string[]> {
  const client = await mysql.createConnection({ uri: url, connectTimeout: LIMIT_MS });
  client.on("error", () => {});
  try {
    const sql = `select cast(owner as char) as owner from ${table} where leased_until > utc_timestamp(6)`;
    const [rows] = await client.query<mysql.RowDataPacket[]>({ sql, timeout: LIMIT_MS });
    return rows.map(({ owner }) => String(owner));
  } finally {
    client.destroy();
  }
}
