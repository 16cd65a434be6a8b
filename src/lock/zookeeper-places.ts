import type { Clock } from "../clock.ts";
import { ExclaimError } from "../errors.ts";
import type { AcquireOptions, LockLease } from "./lock.ts";
import { Call } from "./zookeeper-call.ts";
import { CONNECTION_LOSS, codeOf } from "./zookeeper-client.ts";
import { type Contender, excluderOf, nodesOf } from "./zookeeper-line.ts";
import type { Claimant, Nodes } from "./zookeeper-nodes.ts";
import type { Session } from "./zookeeper-session.ts";

/** How often what may yet come of a request without an answer is looked for, as long as the session's timeout. */
const LOOK_AGAIN_MS = 1_000;

/** An owner's place in the line of a key, as far as we know. */
interface Place extends Claimant {
  readonly id: string;
  /** `unwanted`: its nodes have to go. */
  state: "asking" | "waiting" | "held" | "unwanted";
  /** Its node, made by this session. */
  path: string | undefined;
  /** The node before it that excluded it when we last looked. */
  excluder: string | undefined;
  /** A creation or removal was not answered: there may be nodes that we do not know of. */
  hasStrays: boolean;
  isSweeping: boolean;
  /** The last call that wanted something of it. */
  call: Call | undefined;
}

/** The places that one session has in the lines of keys. Every method throws what the session throws. */
export class Places {
  readonly #nodes: Nodes;
  readonly #session: Session;
  readonly #clock: Clock;
  readonly #places = new Map<string, Place>();

  constructor(nodes: Nodes, clock: Clock) {
    this.#nodes = nodes;
    this.#session = nodes.session;
    this.#clock = clock;
  }

  /** After: true, held; false, nothing is left on the server, but for the place that was asked for. Throws CONFIG_INVALID. */
  async acquire(call: Call, key: string, options: AcquireOptions): Promise<boolean> {
    const { ttlMs, owner, mode = "exclusive", queue = false } = options;
    const place = this.#placeFor(key, owner);
    place.call = call;
    if (place.state === "unwanted") place.state = "asking";
    call.onOver(() => {
      if (place.call === call && place.state === "asking") this.#abandon(place);
    });
    await this.#session.open(call);
    this.#assertLongEnough(ttlMs);
    if (place.state === "waiting" && (await this.#isStillExcluded(call, place))) return false;

    let line = await this.#nodes.line(call, place.spot);
    let own = await this.#ownNode(call, place, line);
    if (own === undefined) {
      place.path = undefined;
      place.state = "asking";
      if (!queue && excluderOf(line, place.owner, mode) !== undefined) return false;
      place.hasStrays = true;
      place.path = await this.#nodes.join(call, place, mode);
      line = await this.#nodes.line(call, place.spot);
      // What was created before this node, and not answered, is seen by now.
      place.hasStrays = false;
      [own] = nodesOf(line, place.owner);
      if (own === undefined) return false;
    }
    place.path = own.path;
    if (own.mode !== mode) throw this.#otherMode(own);
    const surplus = nodesOf(line, place.owner).slice(1);
    await Promise.all(surplus.map(({ path }) => this.#nodes.remove(call, path)));
    place.excluder = excluderOf(line, place.owner, mode)?.path;
    if (place.excluder === undefined) {
      this.#assertInTime(call, ttlMs);
      place.state = "held";
      return true;
    }
    if (queue) place.state = "waiting";
    if (place.state === "asking") await this.#leave(call, place);
    return false;
  }

  /** Whether each lease is held still, proven by most servers of the ensemble. */
  async extend(call: Call, leases: readonly LockLease[]): Promise<readonly boolean[]> {
    try {
      await this.#session.open(call);
      const places = await Promise.all(leases.map((lease) => this.#heldPlace(call, lease)));
      const paths = places.flatMap((place) => place?.path ?? []);
      const there = paths.length === 0 ? new Set<string>() : await this.#nodes.check(call, paths);
      return places.map((place) => {
        const isHeld = place?.path !== undefined && there.has(place.path);
        if (place !== undefined && !isHeld) this.#places.delete(place.id);
        return isHeld;
      });
    } catch (error) {
      if (this.#session.hasExpired) return leases.map(() => false);
      throw error;
    }
  }

  /** After: the owner's nodes are gone. Returns whether it held the key until now. */
  async release(call: Call, { key, owner }: LockLease): Promise<boolean> {
    const place = this.#placeFor(key, owner);
    const wasHeld = place.state === "held";
    place.call = call;
    place.state = "unwanted";
    call.onOver(() => {
      if (place.call === call) this.#abandon(place);
    });
    try {
      await this.#session.open(call);
      if (place.path === undefined) return await this.#leaveByName(call, place);
      return (await this.#leave(call, place)) && wasHeld;
    } catch (error) {
      if (this.#session.hasExpired) return false;
      throw error;
    }
  }

  #placeFor(key: string, owner: string): Place {
    const known = this.#places.get(idOf(key, owner));
    if (known !== undefined) return known;
    const place = this.#newPlace(key, owner);
    this.#places.set(place.id, place);
    return place;
  }

  #newPlace(key: string, owner: string): Place {
    return {
      ...this.#nodes.claimant(key, owner),
      id: idOf(key, owner),
      state: "asking",
      path: undefined,
      excluder: undefined,
      hasStrays: false,
      isSweeping: false,
      call: undefined,
    };
  }

  /** One small question instead of the whole line, for those who ask again while nothing has moved before them. */
  async #isStillExcluded(call: Call, { excluder }: Place): Promise<boolean> {
    return excluder !== undefined && (await this.#nodes.exists(call, excluder));
  }

  /** The owner's node that counts. Those of an earlier session would end with it: they are removed. */
  async #ownNode(call: Call, place: Place, line: readonly Contender[]): Promise<Contender | undefined> {
    for (const node of nodesOf(line, place.owner)) {
      if (node.path === place.path || (await this.#nodes.isOurs(call, node.path))) return node;
      await this.#nodes.remove(call, node.path);
    }
    return undefined;
  }

  /** Takes the known node out of the line. Returns whether it was there. */
  async #leave(call: Call, place: Place): Promise<boolean> {
    const wasThere = place.path !== undefined && (await this.#nodes.remove(call, place.path));
    place.path = undefined;
    return wasThere;
  }

  /** Takes whatever the owner has out of the line. Returns whether it held the key. */
  async #leaveByName(call: Call, place: Place): Promise<boolean> {
    const { hasStrays } = place;
    place.hasStrays = true;
    const line = await this.#nodes.line(call, place.spot);
    const own = nodesOf(line, place.owner);
    const removed = await Promise.all(own.map(({ path }) => this.#nodes.remove(call, path)));
    place.hasStrays = hasStrays;
    const first = own[0];
    return first !== undefined && removed[0] === true && excluderOf(line, place.owner, first.mode) === undefined;
  }

  /** The place of a lease that this session holds, looked up when it was not won here. */
  async #heldPlace(call: Call, { key, owner }: LockLease): Promise<Place | undefined> {
    const known = this.#places.get(idOf(key, owner));
    if (known !== undefined) return known.state === "held" ? known : undefined;
    const place = this.#newPlace(key, owner);
    const line = await this.#nodes.line(call, place.spot);
    const [own] = nodesOf(line, place.owner);
    if (own === undefined || excluderOf(line, place.owner, own.mode) !== undefined) return undefined;
    if (!(await this.#nodes.isOurs(call, own.path))) return undefined;
    place.path = own.path;
    place.state = "held";
    this.#places.set(place.id, place);
    return place;
  }

  /** The owner wants it no more: forgotten, once nothing of it is left. */
  #abandon(place: Place): void {
    place.state = "unwanted";
    if (place.path === undefined && !place.hasStrays) this.#places.delete(place.id);
    else if (!place.isSweeping) void this.#sweep(place);
  }

  /**
   * Removes in the background what a call could not, for as long as the session lasts: nobody else would before its end. Stops when the
   * owner asks for the key again, since then its node is wanted.
   */
  async #sweep(place: Place): Promise<void> {
    const call = new Call(this.#clock.now());
    // A busy server may carry out what a connection that broke had brought when the next one has been answered already.
    const mayComeUntilMs = place.hasStrays ? call.startedAt + this.#session.timeoutMs : call.startedAt;
    place.isSweeping = true;
    place.hasStrays = true;
    while (place.state === "unwanted" && place.hasStrays) {
      const asked = place.call;
      try {
        await this.#session.open(call);
        // A write first: a server that we came to after a lost connection may be behind, and has caught up with its answer.
        await this.#nodes.check(call, [place.spot.bucket]);
        const own = nodesOf(await this.#nodes.line(call, place.spot), place.owner);
        if (place.call !== asked) continue;
        await Promise.all(own.map(({ path }) => this.#nodes.remove(call, path)));
        if (this.#clock.now() < mayComeUntilMs) await this.#untilNextLook();
        else if (place.call === asked) place.hasStrays = false;
      } catch (error) {
        // Whatever else it is, asking again would not help: the session's end removes the nodes.
        if (codeOf(error) !== CONNECTION_LOSS && place.call === asked) break;
      }
    }
    place.isSweeping = false;
    if (place.state === "unwanted") this.#places.delete(place.id);
  }

  /** Keeps no process alive, whose end removes the nodes too. */
  #untilNextLook(): Promise<void> {
    return new Promise((resolve) => void this.#clock.after(LOOK_AGAIN_MS, resolve));
  }

  #assertLongEnough(ttlMs: number): void {
    const { timeoutMs } = this.#session;
    if (ttlMs <= timeoutMs) return;
    const why = `a lease of ${ttlMs} ms needs a session as long, and the server granted this client ${timeoutMs} ms`;
    const what = `set ttlMs to ${timeoutMs} or less, or create the client with a longer sessionTimeout`;
    const limit = "a server allows up to 20 times its tickTime, unless its maxSessionTimeout says otherwise";
    throw new ExclaimError("CONFIG_INVALID", `zookeeper: ${why}: ${what} (${limit}).`, { backend: "zookeeper" });
  }

  #assertInTime({ startedAt }: Call, ttlMs: number): void {
    const elapsedMs = this.#clock.now() - startedAt;
    if (elapsedMs >= ttlMs) throw new Error(`the answer took ${Math.round(elapsedMs)} ms of a ttl of ${ttlMs} ms`);
  }

  #otherMode({ mode }: Contender): ExclaimError {
    const message = `zookeeper: this owner has the key in ${mode} mode already: acquire in another mode as another owner.`;
    return new ExclaimError("CONFIG_INVALID", message, { backend: "zookeeper" });
  }
}

function idOf(key: string, owner: string): string {
  return `${owner.length} ${owner}${key}`;
}
