import pg from "pg";
import { eventually } from "../../support/eventually.ts";
import type { ServerFault } from "../fault.ts";
import { jumpedAhead, jumpedBack } from "./clock-faults.ts";
import type { ShimmedClock } from "./clock-shim.ts";
import { ended, hung, LONGER_THAN_A_LEASE, SHORT, type Target } from "./process-faults.ts";
import { severed } from "./severed.ts";

const LIMIT_MS = 2_000;
const READ_ONLY_SQL_TRANSACTION = "25006";

const CLIENTS = "backend_type = 'client backend' and pid <> pg_backend_pid()";

/** `clock`: that of the server, where it can be moved. */
export function postgresFaults(target: Target, clock?: ShimmedClock): ServerFault[] {
  const { url } = target.server;
  const clocks = clock === undefined ? [] : [{ ...target, clock, readMs: () => timeMs(url) }];
  return [
    ended(target, "postgres restarted fast", "SIGINT"),
    ended(target, "postgres restarted immediate", "SIGQUIT"),
    ended(target, "postgres killed", "kill"),
    hung(target, "postgres hung shortly", SHORT),
    hung(target, "postgres hung for longer than a lease", LONGER_THAN_A_LEASE),
    connectionsTerminated(target),
    readOnly(target),
    ...clocks.flatMap((moved) => [
      jumpedAhead([moved], "postgres clock jumped ahead"),
      jumpedBack([moved], "postgres clock jumped back"),
    ]),
  ];
}

function connectionsTerminated({ name, server: { url } }: Target): ServerFault {
  const victims = `select pid || ' ' || backend_start as id from pg_stat_activity where ${CLIENTS}`;
  return severed(name, "postgres terminated all connections", {
    list: async () => (await askPostgres<{ id: string }>(url, victims)).map(({ id }) => id),
    end: async (ids) => {
      await askPostgres(url, `select pg_terminate_backend(pid) from pg_stat_activity where pid = any($1)`, [ids.map(pidOf)]);
      const remain = `select pid from pg_stat_activity where pid || ' ' || backend_start = any($1)`;
      // A backend ends when it next looks, not before the call returns.
      await eventually(async () => (await askPostgres(url, remain, [ids])).length === 0, { what: "the end of all backends" });
    },
  });
}

/** As a disk that is full or mounted read-only: it reads and commits nothing. */
function readOnly({ name, server: { url } }: Target): ServerFault {
  const refuses = async (): Promise<boolean> => {
    try {
      await askPostgres(url, "drop table pg_catalog.none_of_this_name");
      return false;
    } catch (error) {
      return (error as { code?: string }).code === READ_ONLY_SQL_TRANSACTION;
    }
  };
  return {
    kind: "postgres read-only",
    target: name,
    breaksExclusion: false,
    lastsMs: SHORT,
    inject: () => setReadOnly(url, "set default_transaction_read_only = on"),
    hasHit: refuses,
    heal: async () => {
      await setReadOnly(url, "reset default_transaction_read_only");
      await eventually(async () => !(await refuses()), { what: `writes to ${name} that was read-only` });
    },
  };
}

async function setReadOnly(url: string, change: string): Promise<void> {
  await askPostgres(url, `alter system ${change}`);
  await askPostgres(url, "select pg_reload_conf()");
}

async function timeMs(url: string): Promise<number> {
  const [row] = await askPostgres<{ ms: string }>(url, "select extract(epoch from clock_timestamp()) * 1000 as ms");
  return Number(row?.ms);
}

async function askPostgres<Row extends pg.QueryResultRow>(url: string, sql: string, values: unknown[] = []): Promise<Row[]> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: LIMIT_MS, query_timeout: LIMIT_MS });
  client.on("error", () => {});
  try {
    await client.connect();
    return (await client.query<Row>(sql, values)).rows;
  } finally {
    await client.end().catch(() => {});
  }
}

function pidOf(id: string): number {
  return Number.parseInt(id, 10);
}
