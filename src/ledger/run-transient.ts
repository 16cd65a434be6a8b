import type { Query, QueryAnswer } from "./database.ts";
import { databaseFault } from "./database-errors.ts";
import type { Statements } from "./run-statement.ts";

/** A statement undone by a deadlock or a serialization failure passes at the second or third try, or it will not. */
const MAX_TRANSIENT_TRIES = 3;

/** Runs a statement, again where the server undid it and the same may pass. */
export async function runTransient(server: Statements, query: Query): Promise<QueryAnswer> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await server.run(query);
    } catch (error) {
      if (tries >= MAX_TRANSIENT_TRIES || databaseFault(error) !== "transient") throw error;
    }
  }
}
