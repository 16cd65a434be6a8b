import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import pg from "pg";
import { createExclaim } from "../../src/index.ts";
import type { Verdict } from "../checker/history.ts";
import { judge } from "../checker/judge.ts";
import { eventually } from "../support/eventually.ts";
import { AUDIT_TABLES_SQL } from "./audit-tables.sql.ts";
import { type ChaosBroker, openBroker } from "./chaos-broker.ts";
import { ClockMarks } from "./clock-marks.ts";
import type { EpisodePlan } from "./episode-plan.ts";
import { HistoryLog, monotonicMs, readHistory } from "./history-log.ts";
import { playFaults } from "./nemesis.ts";
import { PodCrew, type PodPlace } from "./pod-crew.ts";
import type { PodPool } from "./pod-pool.ts";
import { readWitnesses } from "./read-witnesses.ts";
import type { ChaosServers } from "./servers/open-servers.ts";

/** From when the faults are over all messages must end within this. */
const WITHIN_MS = 90_000;
const SEND_LIMIT_MS = 60_000;
const LOOK_EVERY_MS = 250;
const HURRY_EVERY_MS = 500;
/** No more messages are under way than this, so that a slow machine is not buried under them. */
const MOST_OPEN = 60;

/** What an episode is played with. */
export interface EpisodePorts {
  readonly servers: ChaosServers;
  readonly pods: PodPool;
  /** Of this episode alone; its logs stay there. */
  readonly folder: string;
  readonly signal: AbortSignal;
}

export interface EpisodeEnd {
  readonly verdict: Verdict;
  readonly plan: EpisodePlan;
}

/** One episode: a broker, a lock, a crew of pods, a flood of messages, faults all the time, then peace, and the verdict. */
export class Episode {
  readonly plan: EpisodePlan;
  readonly #ports: EpisodePorts;
  readonly #log: HistoryLog;
  readonly #sink: HistoryLog;

  constructor(plan: EpisodePlan, ports: EpisodePorts) {
    this.plan = plan;
    this.#ports = ports;
    mkdirSync(ports.folder, { recursive: true });
    this.#log = new HistoryLog(join(ports.folder, "nemesis.jsonl"), "nemesis");
    this.#sink = new HistoryLog(join(ports.folder, "sink.jsonl"), "sink");
  }

  async play(): Promise<EpisodeEnd> {
    const name = `chaos_${process.pid}_${this.plan.index}`;
    const databaseUrl = await this.#freshDatabase(name);
    const database = new pg.Pool({ connectionString: databaseUrl, max: 4 });
    database.on("error", () => {});
    const queues = { pool: `${name}.voucher`, resource: `${name}.order` };
    const brokerUrl = this.#ports.servers.brokerUrls[this.plan.broker] ?? "";
    try {
      await this.#prepare(database);
      const broker = await openBroker(this.plan.broker, { url: brokerUrl, queues, database });
      const lockUrls = this.plan.lock === "postgres" ? [databaseUrl] : (this.#ports.servers.lockUrls[this.plan.lock] ?? []);
      const place: PodPlace = { folder: this.#ports.folder, databaseUrl, brokerUrl, lockUrls, lockPrefix: `${name}:`, queues };
      const ports = { pool: this.#ports.pods, log: this.#log, sink: this.#sink };
      await this.#run(database, broker, new PodCrew(this.plan, place, ports));
      await broker.close();
    } finally {
      await database.end();
      await this.#administer(`drop database if exists ${name} with (force)`);
      this.#log.close();
      this.#sink.close();
    }
    return { verdict: judge(readHistory(this.#ports.folder)), plan: this.plan };
  }

  async #run(database: pg.Pool, broker: ChaosBroker, crew: PodCrew): Promise<void> {
    const { plan } = this;
    this.#log.write({ what: "frame", mark: "began", seed: plan.seed, rows: plan.rows });
    const clock = new ClockMarks(database);
    const watch = new AbortController();
    const watching = clock.watch(watch.signal);
    try {
      await crew.start();
      await this.#strike(database, broker, crew);
      crew.calm();
      this.#log.write({ what: "frame", mark: "calm", withinMs: WITHIN_MS });
      await this.#allEnded(broker, crew);
      await crew.end();
    } catch (error) {
      await crew.abandon();
      throw error;
    } finally {
      watch.abort();
      await watching;
    }
    for (const [message, state] of await broker.finalStates()) this.#log.write({ what: "final-message", message, state });
    await readWitnesses(database, clock, this.#log);
    for (const { at, ...command } of this.#ports.servers.lockCommands()) this.#log.write(command, at);
    this.#log.write({ what: "frame", mark: "ended", hasDump: true });
  }

  /** Sends the messages while faults are played. However it ends, every fault is healed then. */
  async #strike(database: pg.Pool, broker: ChaosBroker, crew: PodCrew): Promise<void> {
    const { plan } = this;
    const { signal } = this.#ports;
    const faults = new AbortController();
    const stopFaults = (): void => faults.abort();
    signal.addEventListener("abort", stopFaults);
    const serverFaults = this.#ports.servers.faultsOf(plan.broker, plan.lock);
    const playing = playFaults({ plan, crew, database, log: this.#log, serverFaults }, faults.signal);
    try {
      await this.#send(broker);
    } finally {
      signal.removeEventListener("abort", stopFaults);
      faults.abort();
      await playing;
    }
    signal.throwIfAborted();
  }

  /** Sends each message at its time, and returns when the faults are to end. */
  async #send(broker: ChaosBroker): Promise<void> {
    const { signal } = this.#ports;
    const beganAt = monotonicMs();
    let rest = this.plan.messages;
    while (monotonicMs() - beganAt < this.plan.forMs && !signal.aborted) {
      const elapsedMs = monotonicMs() - beganAt;
      // A broker that is away has room for none.
      const room = MOST_OPEN - (await broker.open().catch(() => MOST_OPEN));
      const due = rest.filter(({ atMs }) => atMs <= elapsedMs).slice(0, Math.max(0, room));
      rest = rest.slice(due.length);
      for (const { message, queue, claimant, isPoison } of due) {
        this.#log.write({ what: "sent", message, mode: queue, claimant, isPoison });
      }
      if (due.length > 0) {
        // The ledger and the broker are struck meanwhile: what could not be sent is sent again, under the same ids.
        await eventually(() => broker.send(due).then(() => true), {
          timeoutMs: SEND_LIMIT_MS,
          what: "a broker that takes messages",
        });
      }
      await delay(LOOK_EVERY_MS);
    }
  }

  /** Waits until every message has ended, as long as it may take. What has not ended then is what the checker finds. */
  async #allEnded(broker: ChaosBroker, crew: PodCrew): Promise<void> {
    const untilMs = monotonicMs() + WITHIN_MS;
    while (monotonicMs() < untilMs && !this.#ports.signal.aborted) {
      // A message may be there twice, after a lost acknowledgement: what a pod still has in hand is looked for again afterwards.
      const isOpen = async (): Promise<boolean> => (await broker.open().catch(() => 1)) > 0;
      if (!(await isOpen()) && (await crew.inHand()) === 0 && !(await isOpen())) return;
      await broker.hurry().catch(() => {});
      await delay(HURRY_EVERY_MS);
    }
    this.#ports.signal.throwIfAborted();
  }

  async #prepare(database: pg.Pool): Promise<void> {
    await createExclaim({ database }).migrate();
    await database.query(AUDIT_TABLES_SQL);
    await database.query("insert into voucher_item (id, code) select i, 'CODE-' || i from generate_series(1, $1::int) i", [
      this.plan.rows,
    ]);
  }

  async #freshDatabase(name: string): Promise<string> {
    await this.#administer(`create database ${name}`);
    const address = new URL(this.#ports.servers.databaseUrl);
    address.pathname = `/${name}`;
    return address.href;
  }

  async #administer(statement: string): Promise<void> {
    const client = new pg.Client({ connectionString: this.#ports.servers.databaseUrl });
    client.on("error", () => {});
    await client.connect();
    try {
      await client.query(statement);
    } finally {
      await client.end();
    }
  }
}
