import type { Child } from "../../child.ts";
import { type BenchSchema, Stage } from "../../stage.ts";
import type { BenchCase, BenchSizes, OpenCase, Round } from "../bench-case.ts";
import { migrateLedger } from "../migrate-ledger.ts";
import { assertLedgerAgrees, assertOneRowEach } from "../voucher-table.ts";
import type { Corner } from "./corner.ts";
import { explainClaims } from "./explain-claims.ts";
import { createGrowthTable, vacuumGrowthTable } from "./growth-table.ts";
import { ownDatabase } from "./own-database.ts";
import type { PodCalls } from "./pod-calls.ts";
import { SnapshotHolder } from "./snapshot-holder.ts";

/** In each pod. */
const CONCURRENCY = 100;
/** So that each claimant's lane is used more than once. */
const PAIRS_PER_LANE = 3;
const MAX_PROCESSES = 4;
/** Of the warm-up, whose rate says how many make a second's work. */
const FIRST_PAIRS = 500;
const MAX_PAIRS = 5_000;
const SMOKE_PAIRS = 100;
const EXPLAINED_TIMES = 5;

export interface GrowthSettings {
  readonly name: string;
  readonly corner: Corner;
  readonly sizes: BenchSizes;
  readonly database: BenchSchema;
  readonly stage: Stage;
  /** Gives the case its process of this index. It is ended with the stage. */
  startPod(stage: Stage, index: number): Child<PodCalls>;
}

/** Claim and completion by 100 claimants of each pod at a time, in one corner of what tables and deployments grow to. */
export function growthCase(settings: GrowthSettings): BenchCase {
  return {
    name: settings.name,
    async open() {
      const stage = new Stage();
      settings.stage.atEnd(() => stage.end());
      return GrowthCase.open(settings, stage);
    },
  };
}

class GrowthCase implements OpenCase {
  readonly #settings: GrowthSettings;
  readonly #stage: Stage;
  readonly #table: string;
  readonly #ledgerSchema: string;
  readonly #pods: Child<PodCalls>[] = [];
  #holder: SnapshotHolder | undefined;
  #claimants = 0;
  #sinceVacuum = 0;
  #perSecond: number | undefined;

  private constructor(settings: GrowthSettings, stage: Stage) {
    const suffix = settings.name.replaceAll(/[^a-z0-9]/g, "_");
    this.#settings = settings;
    this.#stage = stage;
    this.#table = `${settings.database.schema}.voucher_${suffix}`;
    this.#ledgerSchema = `${settings.database.schema}_${suffix}`;
  }

  static async open(given: GrowthSettings, stage: Stage): Promise<GrowthCase> {
    const { corner, name } = given;
    const database = corner.held
      ? await ownDatabase(stage, given.database, name.replaceAll(/[^a-z0-9]/g, "_"))
      : given.database;
    const opened = new GrowthCase({ ...given, database }, stage);
    await opened.#prepare();
    return opened;
  }

  async round(): Promise<Round> {
    const { corner } = this.#settings;
    // Rounds claim rows too: the corner is made anew before they are more than what it is about.
    if (this.#sinceVacuum > 2 * corner.claimed) await this.#vacuum();
    if (this.#sinceVacuum < corner.claimed) await this.#claim(corner.claimed);
    const done = this.#pairs();
    const startMs = performance.now();
    await this.#claim(done);
    const ms = performance.now() - startMs;
    this.#perSecond = (done / ms) * 1_000;
    return { done, ms };
  }

  async verify(): Promise<void> {
    const { pool } = this.#settings.database;
    await assertOneRowEach(pool, this.#table, this.#claimants);
    await assertLedgerAgrees(pool, this.#table, this.#ledgerSchema);
    for (const pod of this.#pods) {
      const { uncaught } = await pod.condition();
      if (uncaught.length > 0) throw new Error(`${uncaught.length} rejections that nobody caught: ${uncaught[0]}`);
    }
  }

  async facts(): Promise<Readonly<Record<string, number>>> {
    const { name, database, sizes } = this.#settings;
    const times = sizes.smoke ? 1 : EXPLAINED_TIMES;
    const [pod] = this.#pods;
    if (pod === undefined) throw new Error("there is no pod");
    const usual = await explainClaims(database.pool, await pod.ask("largestStatement", name), times);
    const first = await explainClaims(
      database.pool,
      await pod.ask("firstStatement", { name, claimant: this.#claimants + 1 }),
      times,
    );
    return {
      claimsPerStatement: usual.claims,
      serverMicrosPerClaim: usual.executionMicros / usual.claims,
      planningMicros: usual.planningMicros,
      buffersPerClaim: usual.buffers / usual.claims,
      firstClaimBuffers: first.buffers,
    };
  }

  async close(): Promise<void> {
    for (const pod of this.#pods) await pod.ask("close", this.#settings.name);
    await this.#holder?.end();
    await this.#stage.end();
  }

  async #prepare(): Promise<void> {
    const { name, corner, database, startPod } = this.#settings;
    await migrateLedger(this.#stage, database, this.#ledgerSchema);
    this.#stage.atEnd(() => database.pool.query(`drop table if exists ${this.#table}`));
    await createGrowthTable(database.pool, this.#table, this.#ledgerSchema, corner);
    if (corner.held) this.#holder = await SnapshotHolder.open(database.url);
    const place = {
      databaseUrl: database.url,
      table: this.#table,
      ledgerSchema: this.#ledgerSchema,
      scopes: corner.scopes,
    };
    const processes = Math.min(corner.pods, MAX_PROCESSES);
    for (let index = 0; index < processes; index += 1) {
      const pod = startPod(this.#stage, index);
      await pod.ask("begin", { name, place, engines: shareOf(corner.pods, processes, index) });
      this.#pods.push(pod);
    }
  }

  async #vacuum(): Promise<void> {
    const { database, corner } = this.#settings;
    await this.#holder?.end();
    await vacuumGrowthTable(database.pool, this.#table, this.#ledgerSchema);
    if (corner.held) this.#holder = await SnapshotHolder.open(database.url);
    this.#sinceVacuum = 0;
  }

  async #claim(count: number): Promise<void> {
    let first = this.#claimants + 1;
    this.#claimants += count;
    this.#sinceVacuum += count;
    await Promise.all(
      this.#pods.map((pod, index) => {
        const share = shareOf(count, this.#pods.length, index);
        const claimants = { first, count: share, concurrency: shareOf(this.#lanes(), this.#pods.length, index) };
        first += share;
        return pod.ask("claim", { name: this.#settings.name, claimants });
      }),
    );
  }

  /** About a second's work, and never so much that the rounds use the pool up. */
  #pairs(): number {
    const { corner, sizes } = this.#settings;
    if (sizes.smoke) return SMOKE_PAIRS;
    const aSecond = this.#perSecond === undefined ? FIRST_PAIRS : Math.min(MAX_PAIRS, Math.ceil(this.#perSecond));
    const pairs = Math.max(aSecond, corner.pods === 1 ? 0 : PAIRS_PER_LANE * this.#lanes());
    return Math.min(pairs, Math.floor(corner.rows / (sizes.rounds + 2)));
  }

  #lanes(): number {
    return CONCURRENCY * this.#settings.corner.pods;
  }
}

/** Of `whole` things that are dealt out as evenly as they can be. */
function shareOf(whole: number, parts: number, index: number): number {
  return Math.floor(whole / parts) + (index < whole % parts ? 1 : 0);
}
