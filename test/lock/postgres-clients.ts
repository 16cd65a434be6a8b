import pg from "pg";
import { startPrivateServer } from "../support/ladder.ts";
import type { ServerProcess } from "../support/server-process.ts";
import { postgres } from "../support/services/postgres.ts";

/** A pool and single clients of one server, closed together. */
export interface PostgresClients {
  readonly pool: pg.Pool;
  /** One more client, connected. */
  connect(): Promise<pg.Client>;
  /** Closes what is checked out of the pool too: a session whose locks nobody gave back is one. */
  close(): Promise<void>;
}

/** Safe in any process: nothing here is of the test runner. */
export function openPostgresClients(url: string, config: pg.PoolConfig = {}): PostgresClients {
  const pool = new pg.Pool({ connectionString: url, ...config });
  pool.on("error", () => {});
  const opened = new Set<pg.PoolClient>();
  pool.on("connect", (client) => opened.add(client));
  pool.on("remove", (client) => opened.delete(client));
  const singles: pg.Client[] = [];
  let closing: Promise<void> | undefined;
  const closeAll = async () => {
    const ended = pool.end();
    await Promise.all([...opened, ...singles].map((client) => (client as pg.Client).end().catch(() => {})));
    await ended;
  };
  return {
    pool,
    connect: async () => {
      const client = new pg.Client({ connectionString: url });
      client.on("error", () => {});
      await client.connect();
      singles.push(client);
      return client;
    },
    close: () => {
      closing ??= closeAll();
      return closing;
    },
  };
}

/** A PostgreSQL of our own, to be hung and killed. */
export function startPostgresServer(): Promise<ServerProcess> {
  return startPrivateServer(postgres);
}
