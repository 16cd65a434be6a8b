import type { Clock } from "../clock.ts";
import { ExclaimError } from "../errors.ts";
import type { LockLease } from "./lock.ts";
import { type Node, type RedisClient, withoutSecrets } from "./redlock-nodes.ts";
import { ACQUIRE, EXTEND, isFailure, isHeld, parseVote, RELEASE, type Script, type Vote } from "./redlock-scripts.ts";

const NODE_TIMEOUT_TTL_FRACTION = 0.05;
const MIN_NODE_TIMEOUT_MS = 50;
/** How far a node's clock may run faster than ours during one lease: the algorithm's own figures. */
const DRIFT_TTL_FRACTION = 0.01;
const DRIFT_MS = 2;
/** When nobody holds a quorum the voters give up within a round trip or two, so it is worth trying again soon. */
const MIN_SPLIT_RETRY_MS = 5;
/** An `Intent.until` that no lease can have. */
const GIVEN_UP = -Infinity;

/** The nodes of one lock, and what is under way on them. */
export interface Cluster {
  readonly nodes: readonly Node[];
  readonly prefix: string;
  readonly nodeTimeoutMs: number | undefined;
  readonly clock: Clock;
  /** Where the release of a key is told. */
  readonly channelOf: ((key: string) => string) | undefined;
  /** By owner and key, while any node still owes an answer about them. */
  readonly intents: Map<string, Intent>;
}

/**
 * How long an owner wants a key. Answers may come after the same owner asked for something else; what is done about them follows
 * what is wanted then: a key is set only while it is wanted, and deleted only when it is not.
 */
interface Intent {
  readonly id: string;
  /** An instant of the clock, or GIVEN_UP. */
  until: number;
  /** Commands under way; the intent is forgotten at 0. */
  unanswered: number;
}

/** One question put to all nodes at once, and what follows from its answers. */
export class Round {
  readonly #cluster: Cluster;
  readonly #lease: LockLease;
  readonly #script: Script;
  readonly #args: readonly string[];
  readonly #intent: Intent;
  readonly #quorum: number;
  readonly #startedAt: number;
  readonly #timeoutMs: number;
  /** Grows as the answers come in. */
  readonly #votes = new Map<Node, Vote>();
  #yes = 0;
  #no = 0;
  #failed = 0;
  #elapsedMs = 0;
  #decide: (() => void) | undefined;
  #isRepairing = false;

  constructor(cluster: Cluster, lease: LockLease, script: Script) {
    this.#cluster = cluster;
    this.#lease = lease;
    this.#script = script;
    const args = [cluster.prefix + lease.key, lease.owner, String(Math.ceil(lease.ttlMs))];
    // Votes given back are not told of: whom that wakes would win some and give them back in turn, and so on.
    const tells = script === RELEASE && cluster.channelOf !== undefined;
    this.#args = tells ? [...args, cluster.channelOf(lease.key)] : args;
    this.#quorum = (cluster.nodes.length + 1) / 2;
    this.#startedAt = cluster.clock.now();
    this.#timeoutMs = cluster.nodeTimeoutMs ?? Math.max(MIN_NODE_TIMEOUT_MS, lease.ttlMs * NODE_TIMEOUT_TTL_FRACTION);
    const id = `${lease.owner.length} ${lease.owner}${lease.key}`;
    const until = script === RELEASE ? GIVEN_UP : this.#startedAt + lease.ttlMs;
    this.#intent = cluster.intents.get(id) ?? { id, until, unanswered: 0 };
    if (script !== EXTEND || this.#intent.until !== GIVEN_UP) this.#intent.until = until;
  }

  get #isWanted(): boolean {
    return this.#cluster.clock.now() < this.#intent.until;
  }

  /** A quorum answered, whatever it said. */
  get isAnswered(): boolean {
    return this.#yes + this.#no >= this.#quorum;
  }

  /** Enough of the ttl is left even when the nodes' clocks run as fast as is allowed for. */
  get isInTime(): boolean {
    return this.#elapsedMs + this.#lease.ttlMs * DRIFT_TTL_FRACTION + DRIFT_MS < this.#lease.ttlMs;
  }

  /** Asks every node. Ends with the first quorum of equal answers, when too few can answer, or at the time limit. */
  poll(): Promise<"yes" | "no" | undefined> {
    const { nodes, clock } = this.#cluster;
    return new Promise((resolve) => {
      // A timer that is late, after a stall of the event loop, may find the answers waiting in the sockets: they are read first.
      const cancel = clock.after(this.#timeoutMs, () => clock.after(0, () => this.#decide?.()));
      this.#decide = () => {
        this.#decide = undefined;
        cancel();
        this.#elapsedMs = clock.now() - this.#startedAt;
        resolve(this.#yes >= this.#quorum ? "yes" : this.#no >= this.#quorum ? "no" : undefined);
      };
      for (const node of nodes) void this.#send(this.#script, node).then((vote) => this.#count(node, vote));
    });
  }

  #count(node: Node, vote: Vote): void {
    this.#votes.set(node, vote);
    if (this.#decide === undefined) {
      this.#followUp(node, vote);
      return;
    }
    if (vote === "yes") this.#yes += 1;
    else if (isFailure(vote)) this.#failed += 1;
    else this.#no += 1;
    const isQuorum = Math.max(this.#yes, this.#no, this.#failed) >= this.#quorum;
    if (isQuorum || this.#votes.size === this.#cluster.nodes.length) this.#decide();
  }

  /** An answer after the decision: a key that nobody wants is deleted, a key missing from an extended lease is set. */
  #followUp(node: Node, vote: Vote): void {
    if (vote === "yes" && this.#script !== RELEASE && !this.#isWanted) void this.#send(RELEASE, node);
    if (vote === "lost" && this.#isRepairing && this.#isWanted) void this.#send(ACQUIRE, node);
  }

  /** Sets the key again on nodes that lost it. Only after a quorum said yes without them: such a key proves nothing. */
  repair(): void {
    this.#isRepairing = true;
    for (const [node, vote] of this.#votes) if (vote === "lost") this.#followUp(node, vote);
  }

  /**
   * Takes the key off every node that has it or may get it: those that said yes, the silent and the broken.
   * After: those that said yes have answered, or the time limit passed; the others go on by themselves.
   */
  async giveUp(): Promise<void> {
    this.#intent.until = GIVEN_UP;
    const answers: Promise<Vote>[] = [];
    for (const node of this.#cluster.nodes) {
      const vote = this.#votes.get(node);
      if (vote === "lost" || isHeld(vote)) continue;
      const answer = this.#send(RELEASE, node);
      if (vote === "yes") answers.push(answer);
    }
    if (answers.length === 0) return;
    await new Promise<void>((resolve) => {
      const cancel = this.#cluster.clock.after(this.#timeoutMs, resolve);
      void Promise.all(answers).then(() => {
        cancel();
        resolve();
      });
    });
  }

  /** Runs a script on one node. Never rejects. */
  async #send(script: Script, { client }: Node): Promise<Vote> {
    const { intents } = this.#cluster;
    const intent = this.#intent;
    if (intent.unanswered === 0) intents.set(intent.id, intent);
    intent.unanswered += 1;
    try {
      return parseVote(await this.#run(script, client));
    } catch (error) {
      return { cause: withoutSecrets(error instanceof Error ? error.message : String(error), client) };
    } finally {
      intent.unanswered -= 1;
      if (intent.unanswered === 0 && intents.get(intent.id) === intent) intents.delete(intent.id);
    }
  }

  async #run(script: Script, client: RedisClient): Promise<unknown> {
    try {
      return await client.evalsha(script.sha, 1, ...this.#args);
    } catch (error) {
      // What is sent now comes after whatever the owner asked for meanwhile, so it must still agree with that.
      const isOutdated = this.#isWanted ? script === RELEASE : script === ACQUIRE;
      if (isOutdated || !(error instanceof Error && error.message.startsWith("NOSCRIPT"))) throw error;
      return client.eval(script.text, 1, ...this.#args);
    }
  }

  /** When a quorum may be free: the holder's remaining time; soon when nobody holds a quorum; 0 when it never ends by itself. */
  retryAfterMs(): number {
    const held = [...this.#votes.values()].filter(isHeld);
    const hasOneHolder = held.some(({ holder }) => held.filter((other) => other.holder === holder).length >= this.#quorum);
    if (!hasOneHolder) {
      return Math.max(1, Math.ceil(Math.min(this.#lease.ttlMs / 10, Math.max(MIN_SPLIT_RETRY_MS, 2 * this.#elapsedMs))));
    }
    const remainingMs = held.map((vote) => vote.remainingMs).sort((a, b) => a - b);
    const freeAfterMs = remainingMs[this.#quorum - this.#yes - 1] ?? Infinity;
    return freeAfterMs === Infinity ? 0 : Math.max(1, freeAfterMs);
  }

  unreachable(verb: string): ExclaimError {
    const { key, ttlMs } = this.#lease;
    const elapsedMs = Math.round(this.#elapsedMs);
    const nodes = this.#cluster.nodes.flatMap((node) => {
      const { status } = node.client;
      const silence = { cause: `no answer within ${elapsedMs} ms${status === undefined ? "" : ` (client is ${status})`}` };
      const vote = this.#votes.get(node) ?? silence;
      return isFailure(vote) ? [{ node: node.name, cause: vote.cause }] : [];
    });
    const why =
      this.#yes >= this.#quorum
        ? `the answers took ${elapsedMs} ms of a ttl of ${ttlMs} ms. Use a longer ttl`
        : `${this.#yes} of ${this.#cluster.nodes.length} nodes said yes and ${this.#quorum} are needed. Check the nodes that did not answer`;
    const causes = nodes.map(({ node, cause }) => `; ${node}: ${cause}`).join("");
    const message = `redlock could not ${verb} ${JSON.stringify(key.slice(0, 100))}: ${why}${causes}`;
    return new ExclaimError("LOCK_UNREACHABLE", message, { backend: "redlock", nodes });
  }
}
