import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { eventually } from "../support/eventually.ts";
import { type FreshDatabase, freshDatabase } from "../support/postgres.ts";
import { ROOT } from "../support/source-files.ts";

const PROCESSES = 5;
const TTL_MS = 1_500;

/** A leader that dies or hangs is followed within its ttl, and the time a waiter takes to ask again; the rest is a slow machine's. */
const SUCCESSION_MS = TTL_MS + 8_000;

interface Beat {
  readonly id: number;
  readonly term: number;
  readonly pid: number;
}

describe("the leader-election example", () => {
  let database: FreshDatabase;
  let processes: ChildProcess[];

  beforeEach(async () => {
    database = await freshDatabase();
    await database.pool.query("create table leader_beat (id bigserial, term bigint, pid int)");
    processes = Array.from({ length: PROCESSES }, () => startCandidate(database.url));
  });

  afterEach(async () => {
    for (const { pid } of processes) if (pid !== undefined) signal(pid, "SIGKILL");
    await Promise.all(
      processes.filter(({ exitCode, signalCode }) => exitCode === null && signalCode === null).map((one) => once(one, "exit")),
    );
    await database.drop();
  });

  const beats = async (): Promise<Beat[]> => {
    const { rows } = await database.pool.query("select id::int, term::int, pid from leader_beat order by id");
    return rows;
  };

  /** The process that leads in a later term than `term`, once it has shown itself. */
  const leaderAfter = (term: number): Promise<Beat> =>
    eventually(
      async () => {
        const last = (await beats()).at(-1);
        if (last === undefined || last.term <= term) throw new Error(`no leader after term ${term}`);
        return last;
      },
      { timeoutMs: SUCCESSION_MS, what: `a leader after term ${term}` },
    );

  // What a paused leader finds out by its clock alone it would not write either: the fence itself is planted in the suites of the ledger.
  it("S3 S4 keeps one of five processes leader through kills, pauses and an orderly end, with ever higher terms", async () => {
    const first = await leaderAfter(0);
    signal(first.pid, "SIGKILL");
    const second = await leaderAfter(first.term);
    signal(second.pid, "SIGSTOP");
    const third = await leaderAfter(second.term);
    signal(second.pid, "SIGCONT");
    signal(third.pid, "SIGSTOP");
    const fourth = await leaderAfter(third.term);
    signal(third.pid, "SIGCONT");
    signal(fourth.pid, "SIGTERM");
    const fifth = await leaderAfter(fourth.term);

    const all = await beats();
    const terms = all.map(({ term }) => term);
    expect(terms).toEqual([...terms].sort((a, b) => a - b));
    expect(new Set(all.map(({ term, pid }) => `${term} ${pid}`)).size).toBe(new Set(terms).size);
    expect(fifth.term).toBeGreaterThanOrEqual(5);
  });
});

function startCandidate(url: string): ChildProcess {
  const env = { ...process.env, DATABASE_URL: url, TTL_MS: String(TTL_MS) };
  return spawn(process.execPath, ["--import", "tsx", "examples/leader-election.ts"], { cwd: ROOT, env, stdio: "ignore" });
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // It has ended by itself.
  }
}
