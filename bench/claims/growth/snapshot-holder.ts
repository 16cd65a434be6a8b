import pg from "pg";

/** A transaction that does nothing and keeps the server from removing any row that died after it began. */
export class SnapshotHolder {
  readonly #client: pg.Client;

  private constructor(client: pg.Client) {
    this.#client = client;
  }

  /** After: its snapshot is taken. */
  static async open(databaseUrl: string): Promise<SnapshotHolder> {
    const client = new pg.Client({ connectionString: databaseUrl });
    client.on("error", () => {});
    await client.connect();
    await client.query("begin isolation level repeatable read");
    // The snapshot is that of the first statement.
    await client.query("select 1 from pg_class limit 1");
    return new SnapshotHolder(client);
  }

  async end(): Promise<void> {
    await this.#client.end();
  }
}
