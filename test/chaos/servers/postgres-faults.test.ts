import pg from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventually } from "../../support/eventually.ts";
import { startPrivateServer } from "../../support/ladder.ts";
import type { ServerProcess } from "../../support/server-process.ts";
import { postgres } from "../../support/services/postgres.ts";
import type { ServerFault } from "../fault.ts";
import { buildClockShim, type ClockShim, underClock } from "./clock-shim.ts";
import { GREETINGS } from "./first-answer.ts";
import { postgresFaults } from "./postgres-faults.ts";

describe("faults of postgres", () => {
  let shim: ClockShim;
  let server: ServerProcess;
  let faults: readonly ServerFault[];
  let pool: pg.Pool;

  beforeAll(async () => {
    shim = await buildClockShim();
    const clock = shim.clock();
    server = await startPrivateServer(underClock(postgres, clock));
    faults = postgresFaults({ name: "postgres", server, greeting: GREETINGS.postgres }, clock);
    pool = new pg.Pool({ connectionString: server.url, max: 2 });
    pool.on("error", () => {});
  });

  afterAll(async () => {
    await pool.end();
    await server.stop();
    shim[Symbol.dispose]();
  });

  it.each([
    "postgres restarted immediate",
    "postgres killed",
    "postgres terminated all connections",
    "postgres read-only",
    "postgres clock jumped ahead",
    "postgres clock jumped back",
  ])("%s: is seen while it lasts, and not before or after", async (kind) => {
    const fault = faultOf(kind);
    await eventually(() => pool.query("select 1"));

    const seen = [await fault.hasHit()];
    await fault.inject();
    seen.push(await fault.hasHit());
    await fault.heal();
    seen.push(await fault.hasHit());

    expect(seen).toEqual([false, true, false]);
    await eventually(() => pool.query("create temporary table served on commit drop as select 1"));
  });

  it("a clock that jumps a minute ahead ends a lease of ten seconds at once", async () => {
    const fault = faultOf("postgres clock jumped ahead");
    await eventually(() => pool.query("create table leases as select now() + interval '10 seconds' as expires_at"));
    const isOver = async () => (await pool.query("select expires_at < now() as over from leases")).rows[0]?.over;
    const before = await isOver();

    await fault.inject();

    expect(before).toBe(false);
    expect(await isOver()).toBe(true);
    await fault.heal();
  });

  function faultOf(kind: string): ServerFault {
    const fault = faults.find((candidate) => candidate.kind === kind);
    if (fault === undefined) throw new Error(`There is no fault ${kind}.`);
    return fault;
  }
});
