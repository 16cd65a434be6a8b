import { afterAll, beforeAll, it } from "vitest";
import { systemClock } from "../../src/clock.ts";
import { postgresImports } from "../../src/ledger/postgres-imports.ts";
import { type LedgerDatabase, ledgerDatabase } from "./ledger-database.ts";

let database: LedgerDatabase;
beforeAll(async () => {
  database = await ledgerDatabase();
});
afterAll(() => database.drop());

it("probe", async () => {
  const imports = postgresImports({ database: database.sql, clock: systemClock, schema: "exclaim" });
  const id = "p";
  const start = { id, source: "s", target: "t", fingerprint: undefined };
  let run = (await imports.begin(start)).run;
  const rows = (n: number, from = 1) => Array.from({ length: n }, (_, i) => ({ rowKey: `k${i + from}`, key: null, line: i + from }));
  await imports.record({ id, run, position: 0, rowsAfter: 2, rows: rows(2), rejects: [] });
  const ended = { id, run, position: 2, status: "published", reason: null, rejects: [{ line: 2, key: "k2", code: "MESSAGE_REFUSED", reason: "no" }] } as const;
  console.log("end twice", await imports.end(ended), await imports.end(ended));
  run = (await imports.begin(start)).run;
  await imports.record({ id, run, position: 0, rowsAfter: 2, rows: rows(2), rejects: [] });
  console.log("refused row again", await imports.get(id));
  // speed
  const at = performance.now();
  const times: number[] = [];
  const N = Number(process.env.CHUNKS ?? 500);
  for (let c = 0; c < N; c += 1) {
    const t = performance.now();
    await imports.record({ id, run, position: 0, rowsAfter: 2, rows: rows(200, 1000 + c * 200), rejects: [] });
    times.push(performance.now() - t);
  }
  times.sort((a, b) => a - b);
  console.log("record", N, "mean", (performance.now() - at) / N, "p50", times[N >> 1], "p99", times[Math.floor(N * 0.99)]);
  let t = performance.now();
  await imports.get(id);
  console.log("get ms", performance.now() - t);
  const st: number[] = [];
  for (let c = 0; c < 100; c += 1) {
    t = performance.now();
    await imports.settle(rows(200, 1000 + c * 200).map(({ rowKey }) => ({ importId: id, rowKey, state: "claimed", pool: "p", resourceId: "1", code: null, reason: null })));
    st.push(performance.now() - t);
  }
  st.sort((a, b) => a - b);
  console.log("settle p50", st[50], "p99", st[98]);
  t = performance.now();
  let n = 0;
  for await (const _ of imports.report(id)) { if (n === 0) console.log("first row after", performance.now() - t); n += 1; }
  console.log("report", n, performance.now() - t, "rss", process.memoryUsage().rss / 1e6);
  await imports.end({ id, run, position: 0, status: "stopped", reason: null });
  t = performance.now();
  console.log("forget", await imports.forget(id).catch(String), performance.now() - t);
}, 200_000);
