import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { Episode } from "./episode.ts";
import { SHARED_ATTEMPTS } from "./episode-plan.ts";
import { faultOrders } from "./fault-orders.ts";
import { type HistoryLog, monotonicMs, readLog } from "./history-log.ts";
import type { EffectSent, FromPod, QueueNames } from "./pod-messages.ts";
import type { PodPool, PodProcess, PodWatcher } from "./pod-pool.ts";

const COUNT_LIMIT_MS = 300;
const END_LIMIT_MS = 30_000;

/** Where an episode's pods work. */
export interface PodPlace {
  readonly folder: string;
  readonly databaseUrl: string;
  readonly brokerUrl: string;
  readonly lockUrls: readonly string[];
  readonly lockPrefix: string;
  readonly queues: QueueNames;
}

/** The pods of one episode: whoever dies is replaced, and what they tell of their faults and effects is looked into and written down. */
export class PodCrew implements PodWatcher {
  readonly #plan: Episode["plan"];
  readonly #place: PodPlace;
  readonly #pool: PodPool;
  readonly #log: HistoryLog;
  readonly #sink: HistoryLog;
  readonly #beganAt = monotonicMs();
  readonly #pods = new Map<number, PodProcess>();
  readonly #incarnations: number[] = [];
  readonly #wakeUps = new Map<PodProcess, { timer: NodeJS.Timeout; wake(): void }>();
  /** Faults by which the nemesis itself killed. */
  readonly #kills = new Map<PodProcess, string>();
  readonly #starting = new Set<Promise<void>>();
  readonly #counts = new Map<PodProcess, number>();
  #effects = 0;
  #faults = 0;
  #isCalm = false;
  #isOver = false;

  constructor(plan: Episode["plan"], place: PodPlace, ports: { pool: PodPool; log: HistoryLog; sink: HistoryLog }) {
    this.#plan = plan;
    this.#place = place;
    this.#pool = ports.pool;
    this.#log = ports.log;
    this.#sink = ports.sink;
  }

  async start(): Promise<void> {
    for (let slot = 0; slot < this.#plan.pods; slot += 1) this.#startOne(slot);
    await Promise.all(this.#starting);
  }

  /** Those that serve and are not stopped. */
  get awake(): readonly PodProcess[] {
    return [...this.#pods.values()].filter((pod) => pod.isServing && !pod.hasEnded && !this.#wakeUps.has(pod));
  }

  /** How many deliveries the pods have that they have not settled, as they say themselves within a moment. */
  async inHand(): Promise<number> {
    const pods = [...this.#pods.values()];
    this.#counts.clear();
    for (const pod of pods) pod.tell({ say: "count" });
    await delay(COUNT_LIMIT_MS);
    // Whoever does not answer is at work.
    return pods.reduce((sum, pod) => sum + (this.#counts.get(pod) ?? 1), 0);
  }

  /** An id of a fault that the nemesis plays from outside. */
  nextFault(): string {
    this.#faults += 1;
    return `nemesis:${this.#faults}`;
  }

  kill(pod: PodProcess): void {
    const id = this.nextFault();
    this.#kills.set(pod, id);
    this.#log.write({ what: "fault", id, kind: "SIGKILL at any moment", target: pod.name, phase: "injected" });
    pod.signal("SIGKILL");
  }

  stop(pod: PodProcess, lastsMs: number, kind: string): void {
    const id = this.nextFault();
    this.#log.write({ what: "fault", id, kind, target: pod.name, phase: "injected" });
    pod.signal("SIGSTOP");
    void this.#keepStopped(pod, { id, kind, lastsMs });
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
      for (const pod of pods) {
        if (pod.hasEnded) continue;
        this.#log.write({ what: "escaped", kind: "left-connection", detail: `${pod.name} did not end in time` });
        pod.signal("SIGKILL");
      }
    }, END_LIMIT_MS);
    await Promise.all(pods.map((pod) => pod.ended()));
    clearTimeout(late);
  }

  /** Kills all at once: the episode is given up. */
  async abandon(): Promise<void> {
    this.#isOver = true;
    await Promise.allSettled(this.#starting);
    for (const pod of this.#pods.values()) pod.signal("SIGKILL");
    await Promise.all([...this.#pods.values()].map((pod) => pod.ended()));
  }

  onMessage(pod: PodProcess, message: FromPod): void {
    if (message.say === "effect") {
      for (const effect of message.effects) this.#receive(effect);
      pod.tell({ say: "received", call: message.call });
    }
    if (message.say === "in hand") this.#counts.set(pod, message.count);
    if (message.say === "stopping") void this.#keepStopped(pod, message);
  }

  onEnd(pod: PodProcess, signal: NodeJS.Signals | null, code: number | null): void {
    this.#noteKill(pod, signal);
    const slot = [...this.#pods].find(([, known]) => known === pod)?.[0];
    const wasExpected = signal === "SIGKILL" || (this.#isOver && code === 0);
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
    const { seed, index, broker, lock, ttlMs, everyMs, actions } = this.#plan;
    const incarnation = (this.#incarnations[slot] ?? 0) + 1;
    this.#incarnations[slot] = incarnation;
    const pod = `pod-${slot + 1}.${incarnation}`;
    const forMs = this.#isCalm ? 0 : this.#plan.forMs - (monotonicMs() - this.#beganAt);
    const { folder, ...place } = this.#place;
    const process = await this.#pool.assign(
      {
        ...place,
        pod,
        seed,
        broker,
        lock,
        ttlMs,
        attempts: SHARED_ATTEMPTS,
        logFile: join(folder, `${pod}.jsonl`),
        orders: faultOrders({ seed, episode: index, pod, broker, lock, ttlMs, everyMs, forMs, actions }),
      },
      this,
    );
    this.#pods.set(slot, process);
    if (this.#isCalm) process.tell({ say: "calm" });
  }

  #receive(effect: EffectSent): void {
    this.#effects += 1;
    this.#sink.write({ what: "effect", n: this.#effects, ...effect });
  }

  async #keepStopped(pod: PodProcess, { id, kind, lastsMs }: { id: string; kind: string; lastsMs: number }): Promise<void> {
    const fault = { what: "fault", id, kind, target: pod.name } as const;
    const wake = (): void => {
      this.#wakeUps.delete(pod);
      pod.signal("SIGCONT");
      this.#log.write({ ...fault, phase: "healed" });
    };
    this.#wakeUps.set(pod, { timer: setTimeout(wake, lastsMs), wake });
    if (await pod.isStopped()) this.#log.write({ ...fault, phase: "hit" });
  }

  /** A process that was killed wrote down what for before it died, unless the nemesis did it. */
  #noteKill(pod: PodProcess, signal: NodeJS.Signals | null): void {
    if (signal !== "SIGKILL") return;
    const id = this.#kills.get(pod);
    if (id !== undefined) {
      this.#log.write({ what: "fault", id, kind: "SIGKILL at any moment", target: pod.name, phase: "hit" });
      return;
    }
    const last = readLog(join(this.#place.folder, `${pod.name}.jsonl`)).findLast((event) => event.what === "fault");
    if (last?.what !== "fault" || !last.kind.startsWith("SIGKILL")) return;
    this.#log.write({ what: "fault", id: last.id, kind: last.kind, target: last.target, phase: "hit" });
  }
}
