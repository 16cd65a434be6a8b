import { existsSync } from "node:fs";
import { join } from "node:path";
import type { HistoryEvent } from "../checker/history.ts";
import { eventually } from "../support/eventually.ts";
import type { CloseWatch } from "./close-watch.ts";
import type { Episode } from "./episode.ts";
import { MANY_ATTEMPTS } from "./episode-plan.ts";
import { BROKER_TIME_MS, type FaultOrder, faultOrders, leftOrders, WANTED, wantedOrders } from "./fault-orders.ts";
import { type HistoryLog, monotonicMs, readLog } from "./history-log.ts";
import type { Closed, Closing, EffectSent, FromPod, QueueNames } from "./pod-messages.ts";
import type { PodPool, PodProcess, PodWatcher } from "./pod-pool.ts";

const COUNT_LIMIT_MS = 300;
const END_LIMIT_MS = 30_000;
/** What a handler takes that takes far longer than a lease, with what follows it. */
const LONG_TTLS = 5;

/** Where an episode's pods work. */
export interface PodPlace {
  readonly folder: string;
  readonly databaseUrl: string;
  readonly brokerUrl: string;
  readonly lockUrls: readonly string[];
  readonly lockPrefix: string;
  readonly queues: QueueNames;
}

/** A process that stands still as a fault: for so long, and how long at least. */
interface Stop {
  readonly id: string;
  readonly kind: string;
  readonly forMs: number;
  readonly leastMs: number;
}

/** What a process was ordered to play on itself, and when it came to its place, since the episode began. */
interface Given {
  readonly pod: string;
  readonly fromMs: number;
  readonly orders: readonly FaultOrder[];
}

/** What a crew works with. */
export interface CrewPorts {
  readonly pool: PodPool;
  readonly log: HistoryLog;
  readonly sink: HistoryLog;
  readonly closes: CloseWatch;
}

/** The pods of one episode: whoever dies is replaced, and what they tell of their faults and effects is looked into and written down. */
export class PodCrew implements PodWatcher {
  readonly #plan: Episode["plan"];
  readonly #place: PodPlace;
  readonly #pool: PodPool;
  readonly #log: HistoryLog;
  readonly #sink: HistoryLog;
  readonly #closes: CloseWatch;
  readonly #beganAt = monotonicMs();
  readonly #pods = new Map<number, PodProcess>();
  readonly #all: PodProcess[] = [];
  readonly #incarnations: number[] = [];
  readonly #wakeUps = new Map<PodProcess, { timer: NodeJS.Timeout; wake(): void }>();
  /** Faults by which the nemesis itself killed. */
  readonly #kills = new Map<PodProcess, { readonly id: string; readonly kind: string }>();
  /** What those told that close in order. */
  readonly #closing = new Map<PodProcess, Closing & { readonly isAtWork: boolean; readonly closed?: Closed }>();
  readonly #starting = new Set<Promise<void>>();
  readonly #counts = new Map<PodProcess, number>();
  /** By place. */
  readonly #given = new Map<number, Given>();
  /** Wanted faults by which a process has ended. */
  readonly #ended = new Set<string>();
  #effects = 0;
  #faults = 0;
  #isCalm = false;
  #isOver = false;

  constructor(plan: Episode["plan"], place: PodPlace, ports: CrewPorts) {
    this.#plan = plan;
    this.#place = place;
    this.#pool = ports.pool;
    this.#log = ports.log;
    this.#sink = ports.sink;
    this.#closes = ports.closes;
  }

  async start(): Promise<void> {
    for (let slot = 0; slot < this.#plan.pods; slot += 1) this.#startOne(slot);
    await Promise.all(this.#starting);
  }

  /** Those that serve and are not stopped. */
  get awake(): readonly PodProcess[] {
    return [...this.#pods.values()].filter((pod) => pod.isServing && !pod.hasEnded && !this.#wakeUps.has(pod));
  }

  /** What a process has logged until now. */
  eventsOf({ name }: Pick<PodProcess, "name">): readonly HistoryEvent[] {
    const file = this.#logFile(name);
    return existsSync(file) ? readLog(file) : [];
  }

  /** The processes that have told of a delivery of their own: each must have left a log. */
  get served(): readonly string[] {
    return this.#all.filter(({ hasDelivered }) => hasDelivered).map(({ name }) => name);
  }

  /** How many deliveries the pods have that they have not settled, as they say themselves within a moment. */
  async inHand(): Promise<number> {
    const pods = [...this.#pods.values()];
    this.#counts.clear();
    // One that has stopped itself with the last of the faults may have had no time to say so.
    for (const pod of pods) pod.signal("SIGCONT");
    for (const pod of pods) pod.tell({ say: "count" });
    // Whoever does not answer is at work.
    const haveAnswered = (): boolean => pods.every((pod) => this.#counts.has(pod));
    await eventually(haveAnswered, { timeoutMs: COUNT_LIMIT_MS }).catch(() => {});
    return pods.reduce((sum, pod) => sum + (this.#counts.get(pod) ?? 1), 0);
  }

  /** How long a process has to stand still for its lease, and for what the broker allows, to be over. */
  get leastMs(): { readonly ttl: number; readonly brokersTime: number } {
    const { ttlMs } = this.#plan;
    return { ttl: ttlMs, brokersTime: Math.max(BROKER_TIME_MS, ttlMs) };
  }

  /** An id of a fault that the nemesis plays from outside. */
  nextFault(): string {
    this.#faults += 1;
    return `nemesis:${this.#faults}`;
  }

  kill(pod: PodProcess, kind = "SIGKILL at any moment"): void {
    const id = this.nextFault();
    this.#kills.set(pod, { id, kind });
    this.#log.write({ what: "fault", id, kind, target: pod.name, phase: "injected" });
    pod.signal("SIGKILL");
  }

  /** Once the faults are over: resolves when it is dead. */
  async killInPeace(pod: PodProcess): Promise<void> {
    this.kill(pod, "SIGKILL in peace");
    await pod.ended();
  }

  /** `lasts`: how long, and how long at least, or it is none. */
  stop(pod: PodProcess, kind: string, lasts: { readonly forMs: number; readonly leastMs: number }): void {
    const id = this.nextFault();
    this.#log.write({ what: "fault", id, kind, target: pod.name, phase: "injected" });
    pod.signal("SIGSTOP");
    void this.#keepStopped(pod, { id, kind, ...lasts });
  }

  /** No more faults; whoever is stopped goes on. */
  calm(): void {
    this.#isCalm = true;
    for (const pod of this.#pods.values()) pod.tell({ say: "calm" });
    for (const { timer, wake } of this.#wakeUps.values()) {
      clearTimeout(timer);
      wake();
    }
  }

  /** Tells all to stop. Those that do not end in order are killed. */
  async end(): Promise<void> {
    this.#isOver = true;
    await Promise.all(this.#starting);
    const pods = [...this.#pods.values()];
    for (const pod of pods) pod.tell({ say: "stop" });
    const late = setTimeout(() => {
      for (const pod of pods) if (!pod.hasEnded) void this.#endLate(pod);
    }, END_LIMIT_MS);
    await Promise.all(pods.map((pod) => pod.ended()));
    clearTimeout(late);
    await this.#closes.ended();
  }

  /** Kills all at once: the episode is given up. */
  async abandon(): Promise<void> {
    this.#isOver = true;
    await Promise.allSettled(this.#starting);
    for (const pod of this.#pods.values()) pod.signal("SIGKILL");
    await Promise.all([...this.#pods.values()].map((pod) => pod.ended()));
    await this.#closes.ended();
  }

  /** What it is at is looked into before it is killed. */
  async #endLate(pod: PodProcess): Promise<void> {
    const diagnosis = await pod.diagnose(this.#diagnosisFile(pod.name));
    this.#log.write({ what: "escaped", kind: "left-connection", detail: `${pod.name} did not end in time: ${diagnosis}` });
    pod.signal("SIGKILL");
  }

  #diagnosisFile(pod: string): string {
    return join(this.#place.folder, `${pod}.diagnosis.txt`);
  }

  onMessage(pod: PodProcess, message: FromPod): void {
    if (message.say === "effect") {
      for (const effect of message.effects) this.#receive(effect);
      pod.tell({ say: "received", call: message.call });
    }
    if (message.say === "in hand") this.#counts.set(pod, message.count);
    if (message.say === "closing") this.#closing.set(pod, { atMs: message.atMs, isAtWork: !this.#isOver });
    if (message.say === "closed") {
      const closing = this.#closing.get(pod);
      if (closing !== undefined) this.#closing.set(pod, { ...closing, closed: message });
    }
    if (message.say === "stopping") {
      const { id, kind, lastsMs } = message;
      const leastMs = kind.includes("broker's time") ? this.leastMs.brokersTime : this.leastMs.ttl;
      void this.#keepStopped(pod, { id, kind, forMs: lastsMs, leastMs });
    }
  }

  onEnd(pod: PodProcess, signal: NodeJS.Signals | null, code: number | null): void {
    this.#noteKill(pod, signal);
    const slot = [...this.#pods].find(([, known]) => known === pod)?.[0];
    const isInOrder = code === 0 && (this.#isOver || this.#closing.has(pod));
    if (isInOrder) this.#noteClose(pod);
    const wasExpected = signal === "SIGKILL" || isInOrder;
    if (!wasExpected)
      this.#log.write({ what: "escaped", kind: "exception", detail: `${pod.name} ended with ${signal ?? code}` });
    if (slot !== undefined && !this.#isOver) this.#startOne(slot);
  }

  #startOne(slot: number): void {
    const starting = this.#assign(slot).finally(() => this.#starting.delete(starting));
    this.#starting.add(starting);
    // Whoever waits for it hears of it; nobody waits for a replacement.
    starting.catch((error: unknown) =>
      this.#log.write({ what: "escaped", kind: "exception", detail: `no pod: ${String(error)}` }),
    );
  }

  async #assign(slot: number): Promise<void> {
    const { seed, broker, lock, ttlMs, lockBy, onFailure } = this.#plan;
    const wanted = this.#isCalm ? [] : this.#plan.wanted;
    const incarnation = (this.#incarnations[slot] ?? 0) + 1;
    this.#incarnations[slot] = incarnation;
    const pod = `pod-${slot + 1}.${incarnation}`;
    const orders = this.#isCalm ? [] : this.#ordersFor(slot, pod);
    const { folder: _, ...place } = this.#place;
    const process = await this.#pool.assign(
      {
        ...place,
        pod,
        seed,
        broker,
        lock,
        ttlMs,
        lockBy,
        onFailure,
        attempts: MANY_ATTEMPTS,
        longUntilMs: this.#beganAt + this.#plan.forMs - LONG_TTLS * ttlMs,
        logFile: this.#logFile(pod),
        diagnosisFile: this.#diagnosisFile(pod),
        orders: [...wantedOrders(wanted, { slot, pod, ended: this.#ended }), ...orders],
      },
      this,
    );
    this.#pods.set(slot, process);
    this.#all.push(process);
    if (this.#isCalm) process.tell({ say: "calm" });
  }

  /** Those of its place from now on, and what was due there and did not come about. */
  #ordersFor(slot: number, pod: string): readonly FaultOrder[] {
    const { index: episode, ...plan } = this.#plan;
    const fromMs = monotonicMs() - this.#beganAt;
    const before = this.#given.get(slot);
    const left = before === undefined ? [] : leftOrders({ ...before, played: this.#injectedBy(before.pod) }, { pod, fromMs });
    const orders = [...left, ...faultOrders({ ...plan, episode, pod, slot, fromMs })];
    this.#given.set(slot, { pod, fromMs, orders });
    return orders;
  }

  #injectedBy(pod: string): ReadonlySet<string> {
    return new Set(this.eventsOf({ name: pod }).flatMap((event) => (event.what === "fault" ? event.id : [])));
  }

  #logFile(pod: string): string {
    return join(this.#place.folder, `${pod}.jsonl`);
  }

  #receive(effect: EffectSent): void {
    this.#effects += 1;
    this.#sink.write({ what: "effect", n: this.#effects, ...effect });
  }

  /** It counts once it has lasted its least time, and not if it was cut short. */
  async #keepStopped(pod: PodProcess, stop: Stop): Promise<void> {
    const fault = { what: "fault", id: stop.id, kind: stop.kind, target: pod.name } as const;
    let stoppedAt = Number.POSITIVE_INFINITY;
    const wake = (): void => {
      this.#wakeUps.delete(pod);
      if (monotonicMs() - stoppedAt >= stop.leastMs && pod.isStopped) this.#log.write({ ...fault, phase: "hit" });
      pod.signal("SIGCONT");
      this.#log.write({ ...fault, phase: "healed" });
    };
    this.#wakeUps.set(pod, { timer: setTimeout(wake, stop.forMs), wake });
    if (await pod.getsStopped()) stoppedAt = monotonicMs();
  }

  /** A process that was killed wrote down what for before it died, unless the nemesis did it. */
  #noteKill(pod: PodProcess, signal: NodeJS.Signals | null): void {
    if (signal !== "SIGKILL") return;
    const kill = this.#kills.get(pod);
    if (kill !== undefined) {
      this.#log.write({ what: "fault", ...kill, target: pod.name, phase: "hit" });
      return;
    }
    const last = this.eventsOf(pod).findLast((event) => event.what === "fault");
    if (last?.what !== "fault" || !last.kind.startsWith("SIGKILL")) return;
    if (last.id.includes(WANTED)) this.#ended.add(last.kind);
    this.#log.write({ what: "fault", id: last.id, kind: last.kind, target: last.target, phase: "hit" });
  }

  #noteClose(pod: PodProcess): void {
    const closing = this.#closing.get(pod);
    if (closing?.closed !== undefined) this.#closes.look({ pod: pod.name, ...closing, ...closing.closed });
    const hit = this.eventsOf(pod).findLast((event) => event.what === "fault" && event.phase === "hit");
    if (hit?.what === "fault" && hit.kind.startsWith("close ") && hit.id.includes(WANTED)) this.#ended.add(hit.kind);
  }
}
