import { createExclaim, type Exclaim, type Pool } from "exclaim";
import pg from "pg";
import type { ClaimStatement, GrowthPlace } from "./pod-calls.ts";

/** As few as a pod has where there are many. */
const DATABASE_CONNECTIONS = 2;
const REMEMBERED = 20;

interface Voucher {
  readonly code: string;
}

/** One pod's engine, and the claim statements that it sent last. */
export class RecordedEngine {
  readonly sent: ClaimStatement[] = [];
  readonly #place: GrowthPlace;
  readonly #database: pg.Pool;
  readonly #exclaim: Exclaim;
  readonly #vouchers: Pool<Voucher>;

  constructor(place: GrowthPlace) {
    this.#place = place;
    this.#database = new pg.Pool({ connectionString: place.databaseUrl, max: DATABASE_CONNECTIONS });
    this.#database.on("connect", (client) => this.#record(client));
    this.#database.on("error", () => {});
    this.#exclaim = createExclaim({ database: this.#database, schema: place.ledgerSchema });
    this.#vouchers = this.#exclaim.pool<Voucher>({ table: place.table, ownerColumn: "user_id" });
  }

  /** Claims a row and completes the claim. Throws unless that succeeds. */
  async claim(claimant: number): Promise<void> {
    const { scopes } = this.#place;
    const scope = scopes > 1 ? { scope: { campaign_id: claimant % scopes } } : {};
    const outcome = await this.#vouchers.claim({ claimant: String(claimant), ...scope }, async ({ row }) => ({
      code: row.code,
    }));
    if (outcome.status !== "completed") throw new Error(`a claim ended ${outcome.status}`, { cause: outcome });
  }

  async close(): Promise<void> {
    await this.#exclaim.close();
    await this.#database.end();
  }

  #record(client: pg.PoolClient): void {
    const query = client.query.bind(client) as (statement: ClaimStatement, ...rest: unknown[]) => Promise<unknown>;
    const recorded = (statement: ClaimStatement, ...rest: unknown[]): Promise<unknown> => {
      if (/\binsert into \S+\.claims\b/.test(statement.text)) {
        this.sent.push({ text: statement.text, values: statement.values });
        if (this.sent.length > REMEMBERED) this.sent.shift();
      }
      return query(statement, ...rest);
    };
    Object.defineProperty(client, "query", { value: recorded });
  }
}
