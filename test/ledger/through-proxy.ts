import pg from "pg";
import { onTestFinished } from "vitest";
import { type CutProxy, startCutProxy } from "../support/cut-proxy.ts";
import { type LedgerDatabase, type TestLedger, testLedger } from "./ledger-database.ts";

/** What only the statement in question says. */
export const SAID = {
  claim: "last_released_tokens",
  complete: "set status = 'completed', result",
  fail: "set status = 'failed'",
  release: "set status = 'released'",
  renew: "set leased_until",
  begin: "begin isolation level",
  commit: "commit\0",
  note: "insert into note_",
};

/** A ledger behind a proxy. */
export interface ProxiedLedger {
  readonly ledger: TestLedger;
  readonly connections: pg.Pool;
  readonly proxy: CutProxy;
}

/** Opens a ledger over a proxy and a few connections of its own, all closed when the test is finished. */
export async function throughProxy(
  database: LedgerDatabase,
  { max = 2, statementTimeoutMs = 5_000 } = {},
): Promise<ProxiedLedger> {
  const proxy = await startCutProxy(database.url);
  const connections = new pg.Pool({ connectionString: proxy.url, max });
  connections.on("error", () => {});
  onTestFinished(async () => {
    const ended = connections.end();
    await proxy.close();
    await ended;
  });
  return { proxy, connections, ledger: testLedger(connections, { statementTimeoutMs }) };
}
