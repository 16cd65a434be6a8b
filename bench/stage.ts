import type { Redis, RedisOptions } from "ioredis";
import pg from "pg";
import { climbLadder, startPrivateServer } from "../test/support/ladder.ts";
import type { ServerProcess } from "../test/support/server-process.ts";
import type { Service } from "../test/support/service.ts";
import { postgres } from "../test/support/services/postgres.ts";
import { redis } from "../test/support/services/redis.ts";
import { durablePostgres } from "./durable-postgres.ts";
import { connect, disconnect } from "./locks/connections.ts";

/** A schema of our own, empty. */
export interface BenchSchema {
  readonly url: string;
  readonly schema: string;
  readonly pool: pg.Pool;
}

/** What a part of the program started, ended with it or on Ctrl-C. */
export class Stage {
  readonly #endings: (() => unknown)[] = [];
  #ended: Promise<void> | undefined;

  /** Endings run last first, all of them, whatever the others do. */
  atEnd(ending: () => unknown): void {
    this.#endings.push(ending);
  }

  /** Independent Redis of our own, to be hung and killed. */
  async startRedis(count: number): Promise<readonly ServerProcess[]> {
    return Promise.all(
      Array.from({ length: count }, async () => {
        const server = await startPrivateServer(redis);
        this.atEnd(() => server.stop());
        return server;
      }),
    );
  }

  /** One connection a node, ready for commands. */
  async connect(urls: readonly string[], options: RedisOptions): Promise<Redis[]> {
    const clients = await connect(urls, options);
    this.atEnd(() => disconnect(clients));
    return clients;
  }

  /** An empty schema in the database at DATABASE_URL, or in one that is started: one that does not wait for its disk. */
  openSchema(): Promise<BenchSchema> {
    return this.#openSchema(postgres);
  }

  /** The same in a server that waits for its disk at each commit, as it comes, unless DATABASE_URL names another. */
  openDurableSchema(): Promise<BenchSchema> {
    return this.#openSchema(durablePostgres);
  }

  async #openSchema(service: Service): Promise<BenchSchema> {
    const { urls, stop } = await climbLadder(service);
    this.atEnd(stop);
    const url = urls[0] ?? "";
    const pool = new pg.Pool({ connectionString: url });
    pool.on("error", () => {});
    this.atEnd(() => pool.end());
    const schema = `bench_${process.pid}_${Math.trunc(performance.now())}`;
    await pool.query(`create schema ${schema}`);
    this.atEnd(() => pool.query(`drop schema ${schema} cascade`));
    return { url, schema, pool };
  }

  end(): Promise<void> {
    this.#ended ??= this.#end();
    return this.#ended;
  }

  async #end(): Promise<void> {
    for (const ending of this.#endings.reverse()) {
      await Promise.resolve()
        .then(ending)
        .catch((error: unknown) => console.error("while ending:", error));
    }
  }
}
