import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import pg from "pg";
import { createExclaim } from "../../src/index.ts";
import type { HistoryEvent, Verdict } from "../checker/history.ts";
import { judge } from "../checker/judge.ts";
import { readHistory } from "../checker/read-history.ts";
import { eventually } from "../support/eventually.ts";
import { AUDIT_TABLES_SQL, AUDIT_TRIGGERS, AUDIT_TRIGGERS_SQL } from "./audit-tables.sql.ts";
import { type ChaosBroker, type Outgoing, openBroker } from "./chaos-broker.ts";
import { CLOCK_ERROR_LIMIT_MS, ClockMarks } from "./clock-marks.ts";
import { CloseWatch } from "./close-watch.ts";
import type { EpisodePlan } from "./episode-plan.ts";
import { kindOf } from "./failpoint.ts";
import { HistoryLog, monotonicMs } from "./history-log.ts";
import { playFaults } from "./nemesis.ts";
import { PodCrew, type PodPlace } from "./pod-crew.ts";
import type { PodPool } from "./pod-pool.ts";
import { playQuietPhase } from "./quiet-phase.ts";
import { readWitnesses } from "./read-witnesses.ts";
import type { ChaosServers } from "./servers/open-servers.ts";

/** From when the faults are over all messages must end within this. */
const WITHIN_MS = 90_000;
const SEND_LIMIT_MS = 60_000;
const LOOK_EVERY_MS = 250;
const HURRY_EVERY_MS = 500;
/** How much longer faults are played at most until those that must hit have. */
const WANTED_LIMIT_MS = 30_000;
/** No more messages are under way than this, so that a slow machine is not buried under them. */
const MOST_OPEN = 60;

/** What every episode shows. */
const WITNESSES: readonly HistoryEvent["what"][] = [
  "sent",
  "delivered",
  "started",
  "leased",
  "held",
  "write",
  "outcome",
  "settle",
  "owner",
  "token",
  "wrote",
  "effect",
  "final-row",
  "final-claim",
  "final-message",
];

/**
 * After what time at most the broker delivers again what a dead process had. A job's lock lasts 2 s in BullMQ, and the second look that
 * misses it, one a second, moves the job; RabbitMQ sees the connection end.
 */
const REDELIVERY_MS = { bullmq: 5_000, rabbitmq: 1_000 } as const;

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
  /** From the end of the faults to that of the episode. */
  readonly tailMs?: number;
  /** How many processes closed in order while they worked, disturbed by nothing, and were looked at for what they left. */
  readonly closesJudged?: number;
}

/** One episode: a broker, a lock, a crew of pods, a flood of messages, faults all the time, then peace, and the verdict. */
export class Episode {
  readonly plan: EpisodePlan;
  readonly #ports: EpisodePorts;
  readonly #log: HistoryLog;
  readonly #sink: HistoryLog;
  readonly #name: string;
  readonly #lockPrefix: string;
  readonly #sent: string[] = [];
  #clockErrorMs = 0;
  #tailMs = 0;
  #closesJudged = 0;

  constructor(plan: EpisodePlan, ports: EpisodePorts) {
    this.plan = plan;
    this.#ports = ports;
    this.#name = `chaos_${process.pid}_${plan.index}`;
    this.#lockPrefix = `${this.#name}:`;
    mkdirSync(ports.folder, { recursive: true });
    this.#log = new HistoryLog(join(ports.folder, "nemesis.jsonl"), "nemesis");
    this.#sink = new HistoryLog(join(ports.folder, "sink.jsonl"), "sink");
  }

  async play(): Promise<EpisodeEnd> {
    const name = this.#name;
    const databaseUrl = await this.#freshDatabase(name);
    const database = new pg.Pool({ connectionString: databaseUrl, max: 4 });
    database.on("error", () => {});
    const queues = { pool: `${name}.voucher`, resource: `${name}.order` };
    const brokerUrl = this.#ports.servers.brokerUrls[this.plan.broker] ?? "";
    try {
      await this.#prepare(database);
      const broker = await openBroker(this.plan.broker, { url: brokerUrl, queues, database });
      const lockUrls = this.plan.lock === "postgres" ? [databaseUrl] : (this.#ports.servers.lockUrls[this.plan.lock] ?? []);
      const place: PodPlace = {
        folder: this.#ports.folder,
        databaseUrl,
        brokerUrl,
        lockUrls,
        lockPrefix: this.#lockPrefix,
        queues,
      };
      const { folder, lockPrefix } = place;
      const keepers = { database, lock: this.plan.lock, lockUrls, lockPrefix };
      const closes = new CloseWatch({ folder, ttlMs: this.plan.ttlMs }, keepers, this.#log);
      const ports = { pool: this.#ports.pods, log: this.#log, sink: this.#sink, closes };
      await this.#run(database, broker, new PodCrew(this.plan, place, ports));
      this.#closesJudged = closes.judged;
      await broker.close();
    } finally {
      await database.end();
      await this.#administer(`drop database if exists ${name} with (force)`);
      this.#log.close();
      this.#sink.close();
    }
    return { verdict: this.#judged(), plan: this.plan, tailMs: this.#tailMs, closesJudged: this.#closesJudged };
  }

  /** What is not known well enough to find something wrong in it does not show that nothing is. */
  #judged(): Verdict {
    const clockErrorMs = Math.max(1, this.#clockErrorMs);
    const verdict = judge(readHistory(this.#ports.folder).events, { clockErrorMs });
    if (verdict.verdict !== "valid" || clockErrorMs <= CLOCK_ERROR_LIMIT_MS) return verdict;
    return { ...verdict, verdict: "unknown", reason: `the database's clock is known to ${clockErrorMs} ms only` };
  }

  async #run(database: pg.Pool, broker: ChaosBroker, crew: PodCrew): Promise<void> {
    const { servers } = this.#ports;
    // What an episode left that broke is none of ours.
    servers.lockCommands();
    this.#began();
    const clock = new ClockMarks(database);
    const watch = new AbortController();
    const watching = clock.watch(watch.signal);
    try {
      await crew.start();
      await this.#strike(database, broker, crew);
      crew.calm();
      const calmAt = monotonicMs();
      const seenUntilMs = this.plan.endsInPeace ? await this.#playQuietPhase(broker, crew) : 0;
      this.#log.write({ what: "frame", mark: "calm", withinMs: WITHIN_MS });
      await this.#allEnded(broker, crew);
      await crew.end();
      this.#tailMs = monotonicMs() - calmAt;
      await delay(Math.max(0, seenUntilMs - monotonicMs()), undefined, { signal: this.#ports.signal });
    } catch (error) {
      await crew.abandon();
      throw error;
    } finally {
      watch.abort();
      await watching;
    }
    const finals = await broker.finalStates();
    for (const final of finals) this.#log.write({ what: "final-message", ...final });
    const seen = await readWitnesses(database, clock, this.#log);
    this.#clockErrorMs = clock.errorMs;
    for (const { at, ...command } of servers.lockCommands()) {
      if (command.key.startsWith(this.#lockPrefix)) this.#log.write(command, at);
    }
    const told = new Set(finals.map(({ message }) => message));
    const hasDump = seen.get("final-row") === this.plan.rows && this.#sent.every((message) => told.has(message));
    this.#log.write({ what: "frame", mark: "ended", hasDump, processes: crew.served });
  }

  #began(): void {
    const { seed, rows, lock, broker, ttlMs } = this.plan;
    const witnesses = this.#ports.servers.isMonitored(lock) ? [...WITNESSES, "lock" as const] : WITNESSES;
    const times = { ttlMs, redeliveryMs: REDELIVERY_MS[broker] };
    this.#log.write({ what: "frame", mark: "began", seed, rows, witnesses, ...times });
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

  #playQuietPhase(broker: ChaosBroker, crew: PodCrew): Promise<number> {
    const { signal } = this.#ports;
    const send = (messages: readonly Outgoing[]): Promise<void> => this.#sendAll(broker, messages);
    return playQuietPhase({ plan: this.plan, crew, redeliveryMs: REDELIVERY_MS[this.plan.broker], send, signal });
  }

  /** Sends each message at its time, and returns when the faults are to end. */
  async #send(broker: ChaosBroker): Promise<void> {
    const { signal } = this.#ports;
    const beganAt = monotonicMs();
    let rest = this.plan.messages;
    while (!signal.aborted && this.#lasts(monotonicMs() - beganAt)) {
      const elapsedMs = monotonicMs() - beganAt;
      // A broker that is away has room for none.
      const room = MOST_OPEN - (await broker.open().catch(() => MOST_OPEN));
      const due = rest.filter(({ atMs }) => atMs <= elapsedMs).slice(0, Math.max(0, room));
      rest = rest.slice(due.length);
      if (due.length > 0) await this.#sendAll(broker, due);
      await delay(LOOK_EVERY_MS);
    }
  }

  async #sendAll(broker: ChaosBroker, messages: readonly Outgoing[]): Promise<void> {
    for (const { message, queue, claimant, isPoison } of messages) {
      this.#log.write({ what: "sent", message, mode: queue, claimant, isPoison, mayDie: isPoison });
      this.#sent.push(message);
    }
    // The ledger and the broker are struck meanwhile: what could not be sent is sent again, under the same ids.
    await eventually(() => broker.send(messages).then(() => true), {
      timeoutMs: SEND_LIMIT_MS,
      what: "a broker that takes messages",
    });
  }

  #lasts(elapsedMs: number): boolean {
    const { forMs, wanted } = this.plan;
    if (elapsedMs < forMs) return true;
    if (wanted.length === 0 || elapsedMs > forMs + WANTED_LIMIT_MS) return false;
    const { events } = readHistory(this.#ports.folder);
    const hits = new Set(events.map((event) => (event.what === "fault" && event.phase === "hit" ? event.kind : "")));
    return wanted.some((cell) => !hits.has(kindOf(cell)));
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
    const { rows } = await database.query<{ name: string }>(AUDIT_TRIGGERS_SQL);
    const missing = AUDIT_TRIGGERS.filter((name) => rows.every((row) => row.name !== name));
    if (missing.length > 0) throw new Error(`The triggers ${missing.join(" and ")} are not there.`);
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
