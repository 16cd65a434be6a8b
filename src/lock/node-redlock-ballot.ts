import type { Clock } from "../clock.ts";
import { ExclaimError } from "../errors.ts";
import type { LockLease } from "./lock.ts";
import { type Holder, look } from "./node-redlock-holders.ts";
import type { Instance, Node, StandIn, Verb } from "./node-redlock-instance.ts";
import { withoutSecrets } from "./node-redlock-instance.ts";
import type { Intent } from "./node-redlock-intents.ts";

/** How far a node's clock may run faster than ours during one lease: the algorithm's own figures. */
const DRIFT_TTL_FRACTION = 0.01;
const DRIFT_MS = 2;

/** What one node said. */
type Vote = "yes" | "no" | { readonly cause: string };

/** What an instance is asked to do, once. */
export interface Question {
  readonly instance: Instance;
  readonly verb: Verb;
  readonly lease: LockLease;
  /** The key as it is on the nodes. */
  readonly resource: string;
  readonly intent: Intent;
  readonly limitMs: number;
  readonly clock: Clock;
}

/**
 * One call of an instance. It is given stand-ins for its clients, and what counts is what its script is answered there, by our own
 * clock; not what it makes of the answers, nor when. Whatever else it would then ask of the nodes is left out.
 */
export class Ballot {
  readonly #question: Question;
  readonly #nodes: readonly Node[];
  readonly #quorum: number;
  readonly #startedAt: number;
  /** Grows as the answers come in. */
  readonly #votes = new Map<Node, Vote>();
  readonly #asked = new Set<Node>();
  readonly #looks: Promise<Holder | undefined>[] = [];
  /** What the instance runs first is what it was called for. */
  #script: unknown;
  #elapsedMs = 0;
  #decide: (() => void) | undefined;

  constructor(question: Question, nodes = question.instance.nodes) {
    this.#question = question;
    this.#nodes = nodes;
    this.#quorum = (nodes.length + 1) / 2;
    this.#startedAt = question.clock.now();
  }

  get quorum(): number {
    return this.#quorum;
  }

  /** A quorum answered, whatever it said. */
  get isAnswered(): boolean {
    return this.count("yes") + this.count("no") >= this.#quorum;
  }

  /** Enough of the ttl is left even when the nodes' clocks run as fast as is allowed for. */
  get isInTime(): boolean {
    const { ttlMs } = this.#question.lease;
    return this.#elapsedMs + ttlMs * DRIFT_TTL_FRACTION + DRIFT_MS < ttlMs;
  }

  get elapsedMs(): number {
    return this.#elapsedMs;
  }

  /** How many said so. */
  count(answer: "yes" | "no"): number {
    return [...this.#votes.values()].filter((vote) => vote === answer).length;
  }

  /** Calls the instance. Ends with the first quorum of equal answers, when all are in, or at the time limit. Never rejects. */
  poll(): Promise<"yes" | "no" | undefined> {
    const { clock, limitMs } = this.#question;
    return new Promise((resolve) => {
      // A timer that is late, after a stall of the event loop, may find the answers waiting in the sockets: they are read first.
      const cancel = clock.after(limitMs, () => clock.after(0, () => this.#decide?.()));
      this.#decide = () => {
        this.#decide = undefined;
        cancel();
        this.#elapsedMs = clock.now() - this.#startedAt;
        resolve(this.count("yes") >= this.#quorum ? "yes" : this.count("no") >= this.#quorum ? "no" : undefined);
      };
      void this.#call();
    });
  }

  /** Who holds the key on the nodes that said no. Ends within the time limit. */
  holders(): Promise<readonly Holder[]> {
    const { clock, limitMs } = this.#question;
    return new Promise((resolve) => {
      const cancel = clock.after(limitMs, () => resolve([]));
      void Promise.all(this.#looks).then((seen) => {
        cancel();
        resolve(seen.filter((holder) => holder !== undefined));
      });
    });
  }

  /**
   * Takes the key off every node that has it or may get it: those that said yes, the silent and the broken.
   * After: those that said yes have answered, or the time limit passed; the others go on by themselves.
   */
  async giveUp(): Promise<void> {
    this.#question.intent.isWanted = false;
    const answers = this.#nodes
      .filter((node) => this.#votes.get(node) !== "no")
      .map((node) => ({ wasWon: this.#votes.get(node) === "yes", answer: this.#giveBack(node) }));
    await Promise.all(answers.filter(({ wasWon }) => wasWon).map(({ answer }) => answer));
  }

  unreachable(): ExclaimError {
    const { verb, lease } = this.#question;
    const elapsedMs = Math.round(this.#elapsedMs);
    const nodes = this.#nodes.flatMap((node) => {
      const { status } = node.client;
      const silence = { cause: `no answer within ${elapsedMs} ms${status === undefined ? "" : ` (client is ${status})`}` };
      const vote = this.#votes.get(node) ?? silence;
      return typeof vote === "object" ? [{ node: node.name, cause: vote.cause }] : [];
    });
    const yes = this.count("yes");
    const why =
      yes >= this.#quorum
        ? `the answers took ${elapsedMs} ms of a ttl of ${lease.ttlMs} ms. Use a longer ttl`
        : `${yes} of ${this.#nodes.length} nodes said yes and ${this.#quorum} are needed. Check the nodes that did not answer`;
    const causes = nodes.map(({ node, cause }) => `; ${node}: ${cause}`).join("");
    const message = `node-redlock could not ${verb} ${JSON.stringify(lease.key.slice(0, 100))}: ${why}${causes}`;
    return new ExclaimError("LOCK_UNREACHABLE", message, { backend: "node-redlock", nodes });
  }

  async #call(): Promise<void> {
    const { instance, verb, resource, lease } = this.#question;
    const standIns = this.#nodes.map(
      (node): StandIn => ({
        evalsha: (...args) => this.#command(node, "evalsha", args),
        eval: (...args) => this.#command(node, "eval", args),
      }),
    );
    let cause = "the instance did not ask it";
    try {
      await instance.run(verb, standIns, resource, lease.owner, Math.ceil(lease.ttlMs));
    } catch (error) {
      cause = textOf(error);
    }
    for (const node of this.#nodes) if (!this.#asked.has(node)) this.#note(node, { cause: withoutSecrets(cause, node.client) });
  }

  /** Version 4 gives a callback, version 5 wants a promise. */
  #command(node: Node, command: keyof StandIn, given: readonly unknown[]): Promise<unknown> {
    const callback = given.at(-1);
    if (typeof callback !== "function") return this.#answer(node, command, given);
    const answer = this.#answer(node, command, given.slice(0, -1));
    answer
      .then(
        (value) => callback(null, value),
        (error) => callback(error),
      )
      .catch(() => undefined);
    return answer;
  }

  async #answer(node: Node, command: keyof StandIn, args: readonly unknown[]): Promise<unknown> {
    const { intent, lease } = this.#question;
    this.#script ??= args[0];
    // After an acquisition or extension that it thinks has failed, it gives back; that is for us to decide.
    if (command === "evalsha" && args[0] !== this.#script) return 1;
    this.#asked.add(node);
    intent.begin();
    let vote: Vote | undefined;
    try {
      if (!args.flat().includes(lease.owner))
        throw new Error("this version of redlock does not let the value of a key be chosen");
      const answer = await node.client[command](...args);
      vote = voteOf(answer);
      return answer;
    } catch (error) {
      const isUnknown = command === "evalsha" && error instanceof Error && error.message.startsWith("NOSCRIPT");
      // What it would send now comes after whatever the owner asked for meanwhile, so it must still agree with that.
      if (isUnknown && !this.#isOutdated) throw error;
      const cause = isUnknown ? "it learns of the script too late" : withoutSecrets(textOf(error), node.client);
      vote = { cause };
      throw new Error(cause);
    } finally {
      intent.end();
      if (vote !== undefined) this.#note(node, vote);
    }
  }

  get #isOutdated(): boolean {
    const { verb, intent } = this.#question;
    return intent.isWanted ? verb === "release" : verb === "acquire";
  }

  #note(node: Node, vote: Vote): void {
    const { verb, intent, resource } = this.#question;
    this.#votes.set(node, vote);
    if (this.#decide === undefined) {
      if (vote === "yes" && verb === "acquire" && !intent.isWanted) void this.#giveBack(node);
      return;
    }
    if (vote === "no" && verb === "acquire") this.#looks.push(look(node.client, resource));
    const [yes, no] = [this.count("yes"), this.count("no")];
    const isQuorum = Math.max(yes, no, this.#votes.size - yes - no) >= this.#quorum;
    if (isQuorum || this.#votes.size === this.#nodes.length) this.#decide();
  }

  #giveBack(node: Node): Promise<unknown> {
    return new Ballot({ ...this.#question, verb: "release" }, [node]).poll();
  }
}

/** Its scripts answer with how many of the keys they changed, and there is one. Some clients read numbers as text. */
function voteOf(answer: unknown): Vote {
  if (answer === 1 || answer === "1") return "yes";
  return answer === 0 || answer === "0" ? "no" : { cause: `an answer that is not the script's: ${typeof answer}` };
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
