import { createHash } from "node:crypto";
import { type Clock, systemClock } from "../clock.ts";
import { ExclaimError } from "../errors.ts";
import type { LockAttempt, LockBackend, LockLease } from "./lock.ts";

/** What is used of a Redis client: ioredis 5 fits. One client is one node; whoever opened it closes it. */
export interface RedisClient {
  evalsha(sha: string, keyCount: number, ...args: string[]): Promise<unknown>;
  eval(script: string, keyCount: number, ...args: string[]): Promise<unknown>;
  /** Names the node in errors. The password is read only to keep it out of them. */
  readonly options?: {
    readonly host?: string | undefined;
    readonly port?: number | undefined;
    readonly path?: string | undefined;
    readonly password?: string | null | undefined;
  };
  /** Named in errors when a node is silent, e.g. `reconnecting`. */
  readonly status?: string;
}

export interface RedlockOptions {
  /** Put before every key, for nodes that other programs use too. @default "" */
  readonly prefix?: string;
  /** How long one call waits for its nodes, in ms. @default 5 % of the lease's ttl, at least 50 */
  readonly nodeTimeoutMs?: number;
  /** @default the process's monotonic clock */
  readonly clock?: Clock;
}

const NODE_TIMEOUT_TTL_FRACTION = 0.05;
const MIN_NODE_TIMEOUT_MS = 50;
/** How far a node's clock may run faster than ours during one lease: the algorithm's own figures. */
const DRIFT_TTL_FRACTION = 0.01;
const DRIFT_MS = 2;
/** When nobody holds a quorum the voters give up within a round trip or two, so it is worth trying again soon. */
const MIN_SPLIT_RETRY_MS = 5;
/** An `Intent.until` that no lease can have. */
const GIVEN_UP = -Infinity;

/**
 * A lock held on a majority of independent Redis masters, so that it outlives the failure of a minority.
 * Shape: 1, 3, 5, ... ioredis clients, each of another master; no Redis Cluster, no replicas of each other. On a node the lock is
 *   the string `prefix + key` with the owner as its value and a PX of the ttl.
 * Unit: ms. Every call ends within `nodeTimeoutMs`, or twice that when votes already won must be given back, whatever the
 *   clients' own options are and however many nodes hang.
 * Connections: give locks their own, with `maxRetriesPerRequest: 1`, `enableOfflineQueue: false` and a `commandTimeout`, so that
 *   commands for a dead node fail at once instead of piling up in the client. Listen to their `error` events.
 * Known limits: a node that restarts empty within a ttl can vote twice (delay its restart by the longest ttl, or let it fsync
 *   always); a node's clock that jumps ends leases early; a paused process works on after its lease. The lock keeps the crowd away
 *   from the database; the ledger's token is what guards data.
 * Throws CONFIG_INVALID: no clients or an even number of them, one client twice, something that is not an ioredis client.
 * Source: redis.io, "Distributed Locks with Redis"; M. Kleppmann, "How to do distributed locking" (2016), for the limits.
 */
export function redlock(clients: readonly RedisClient[], options: RedlockOptions = {}): LockBackend {
  const { prefix = "", nodeTimeoutMs, clock = systemClock } = options;
  if (nodeTimeoutMs !== undefined) assertPositive("nodeTimeoutMs", nodeTimeoutMs);
  const cluster: Cluster = { nodes: resolveNodes(clients), prefix, nodeTimeoutMs, clock, intents: new Map() };

  return {
    name: "redlock",
    capabilities: { expiry: "ttl", ttlGranularityMs: 1, shared: false, fifo: false },

    async acquire(key, { ttlMs, owner }): Promise<LockAttempt> {
      assertPositive("ttlMs", ttlMs);
      const lease: LockLease = { key, owner, ttlMs };
      const round = new Round(cluster, lease, ACQUIRE);
      const verdict = await round.poll();
      if (verdict === "yes" && round.isInTime) return { lease };
      await round.giveUp();
      if (verdict === "yes" || !round.isAnswered) throw round.unreachable("acquire");
      return { lease: null, retryAfterMs: round.retryAfterMs() };
    },

    async extend(lease) {
      const round = new Round(cluster, lease, EXTEND);
      const verdict = await round.poll();
      if (verdict === "yes" && round.isInTime) {
        round.repair();
        return true;
      }
      if (verdict !== "no") throw round.unreachable("extend");
      void round.giveUp();
      return false;
    },

    async release(lease) {
      const round = new Round(cluster, lease, RELEASE);
      const verdict = await round.poll();
      if (!round.isAnswered) throw round.unreachable("release");
      return verdict !== "no";
    },
  };
}

interface Script {
  readonly text: string;
  readonly sha: string;
}

/**
 * Takes the key unless somebody else has it.
 * Input: KEYS[1] the key; ARGV[1] the owner; ARGV[2] the ttl in ms, a whole number.
 * Output: "yes", it is the owner's for the whole ttl from now; or { remaining ms, holder }, -1 ms when the holder's never ends.
 * Atomicity: one script, so nothing comes between looking and taking. Running it again for the same owner changes only the end.
 */
const ACQUIRE = script(`
if redis.call("SET", KEYS[1], ARGV[1], "NX", "PX", ARGV[2]) then return "yes" end
local holder = redis.call("GET", KEYS[1])
if holder ~= ARGV[1] then return { redis.call("PTTL", KEYS[1]), holder } end
redis.call("PEXPIRE", KEYS[1], ARGV[2])
return "yes"`);

/**
 * Lets the owner's key last for a whole ttl from now. Never makes one: a key that is gone may have been somebody else's since.
 * Input: KEYS[1] the key; ARGV[1] the owner; ARGV[2] the ttl in ms, a whole number.
 * Output: "yes"; "lost", there is no such key; or { remaining ms, holder }.
 * Atomicity: one script, so the key that was compared is the key that is extended.
 */
const EXTEND = script(`
local holder = redis.call("GET", KEYS[1])
if not holder then return "lost" end
if holder ~= ARGV[1] then return { redis.call("PTTL", KEYS[1]), holder } end
redis.call("PEXPIRE", KEYS[1], ARGV[2])
return "yes"`);

/**
 * Deletes the owner's key.
 * Input: KEYS[1] the key; ARGV[1] the owner; what follows is not read.
 * Output: "yes", it was the owner's and is gone; "lost", there was no such key; or { remaining ms, holder }, left alone.
 * Atomicity: one script, so the key that was compared is the key that is deleted.
 */
const RELEASE = script(`
local holder = redis.call("GET", KEYS[1])
if not holder then return "lost" end
if holder ~= ARGV[1] then return { redis.call("PTTL", KEYS[1]), holder } end
redis.call("DEL", KEYS[1])
return "yes"`);

interface Node {
  readonly name: string;
  readonly client: RedisClient;
}

interface Cluster {
  readonly nodes: readonly Node[];
  readonly prefix: string;
  readonly nodeTimeoutMs: number | undefined;
  readonly clock: Clock;
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

interface Held {
  readonly holder: string;
  /** Infinity when the holder's key never ends by itself. */
  readonly remainingMs: number;
}

/** The node could not be asked, or not understood. */
interface Failure {
  readonly cause: string;
}

/** What one node said. */
type Vote = "yes" | "lost" | Held | Failure;

/** One question put to all nodes at once, and what follows from its answers. */
class Round {
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
    this.#args = [cluster.prefix + lease.key, lease.owner, String(Math.ceil(lease.ttlMs))];
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

function script(text: string): Script {
  return { text, sha: createHash("sha1").update(text).digest("hex") };
}

function parseVote(reply: unknown): Vote {
  if (reply === "yes" || reply === "lost") return reply;
  if (!Array.isArray(reply)) return { cause: `an answer that is not the script's: ${typeof reply}` };
  const remainingMs = Number(reply[0]);
  return { remainingMs: remainingMs === -1 ? Infinity : remainingMs, holder: String(reply[1]) };
}

function isHeld(vote: Vote | undefined): vote is Held {
  return typeof vote === "object" && "holder" in vote;
}

function isFailure(vote: Vote): vote is Failure {
  return typeof vote === "object" && "cause" in vote;
}

/**
 * Only the text of a client's error is kept, never the error: when a login failed, ioredis rejects our commands with the error of
 * its AUTH command, which carries the password.
 */
function withoutSecrets(text: string, client: RedisClient): string {
  const password = client.options?.password;
  return (password ? text.replaceAll(password, "***") : text).replace(/\/\/[^/@\s]*@/g, "//***@");
}

function resolveNodes(clients: readonly RedisClient[]): readonly Node[] {
  if (!Array.isArray(clients)) throw invalid("redlock() needs a list of clients: redlock([client]).");
  if (clients.length % 2 === 0) {
    const why = "an even number survives no more failures than one node less, and can split into equal halves";
    throw invalid(`redlock() needs an odd number of clients (1, 3, 5, ...), not ${clients.length}: ${why}.`);
  }
  return clients.map((client, index) => {
    if (typeof client?.evalsha !== "function") throw invalid(`redlock() needs ioredis clients: clients[${index}] is none.`);
    const first = clients.indexOf(client);
    if (first !== index) throw invalid(`redlock() needs a client per node: clients[${index}] is clients[${first}] again.`);
    const { host, port, path } = client.options ?? {};
    const name = path ?? (host && port ? `${host}:${port}` : `node ${index + 1} of ${clients.length}`);
    return { name: withoutSecrets(name, client), client };
  });
}

function assertPositive(name: string, valueMs: number): void {
  if (!(Number.isFinite(valueMs) && valueMs > 0)) throw invalid(`redlock: ${name} is a positive number of ms, not ${valueMs}.`);
}

function invalid(message: string): ExclaimError {
  return new ExclaimError("CONFIG_INVALID", message, { backend: "redlock" });
}
