import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createExclaim } from "../../src/claim/create-exclaim.ts";
import { eventually } from "../support/eventually.ts";
import { type FreshDatabase, freshDatabase } from "../support/postgres.ts";
import { ROOT } from "../support/source-files.ts";

const BEAT_MS = 100;
const TTL_MS = 1_500;

interface Start {
  readonly token: number;
  readonly pid: number;
  readonly resumed: boolean;
  readonly atMs: number;
}

describe("a beat across processes", () => {
  let database: FreshDatabase;
  const pods: ChildProcess[] = [];

  beforeEach(async () => {
    database = await freshDatabase();
    await createExclaim({ database: database.pool }).migrate();
    await database.pool.query("create table beat (token bigint, pid int, resumed boolean, at timestamptz)");
  });

  afterEach(async () => {
    for (const pod of pods) pod.kill("SIGKILL");
    await Promise.all(
      pods.splice(0).map((pod) => (pod.exitCode === null && pod.signalCode === null ? once(pod, "exit") : undefined)),
    );
    await database.drop();
  });

  function startPod(hangsAtToken = 0): ChildProcess {
    const args = [
      "--import",
      "tsx",
      "test/e2e/beat-pod.ts",
      database.url,
      String(BEAT_MS),
      String(TTL_MS),
      String(hangsAtToken),
    ];
    const pod = spawn(process.execPath, args, { cwd: ROOT, stdio: "ignore" });
    pods.push(pod);
    return pod;
  }

  const starts = async (): Promise<Start[]> => {
    const columns = `token::int, pid, resumed, extract(epoch from at)::float8 * 1000 as "atMs"`;
    return (await database.pool.query(`select ${columns} from beat order by at`)).rows;
  };

  const startsOnceThereAre = (count: number): Promise<Start[]> =>
    eventually(
      async () => {
        const all = await starts();
        if (all.length < count) throw new Error(`${all.length} starts`);
        return all;
      },
      { timeoutMs: 60_000, what: `${count} starts` },
    );

  // Planted: the next beat counted from the start of the one before, which gains a few ms each time; this test failed.
  it("starts over 100 times without drift, each start once, whichever of three processes is there first", async () => {
    for (let index = 0; index < 3; index += 1) startPod();

    const all = await startsOnceThereAre(110);

    // By how much each start lies beside the grid of the first: what a gap is more or less than whole beats, summed up.
    let asideMs = 0;
    const asides = all.slice(1).map(({ atMs }, index) => {
      const gapMs = atMs - (all[index]?.atMs ?? 0);
      asideMs += gapMs - Math.round(gapMs / BEAT_MS) * BEAT_MS;
      return asideMs;
    });
    // A drift of one ms a beat would be about 80 between these.
    expect(Math.abs(median(asides.slice(-20)) - median(asides.slice(5, 25)))).toBeLessThan(40);
    expect(new Set(all.map(({ token }) => token)).size).toBe(all.length);
  });

  it("moves to another process, which resumes it under the next token, when the one that ran it is killed in the middle", async () => {
    const doomed = startPod(5);
    await startsOnceThereAre(5);
    startPod();
    startPod();

    const killed = once(doomed, "exit");
    doomed.kill("SIGKILL");
    await killed;
    const all = await startsOnceThereAre(6);

    const next = all.find(({ token }) => token === 6);
    expect(next).toMatchObject({ resumed: true });
    expect(next?.pid).not.toBe(doomed.pid);
  });
});

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}
