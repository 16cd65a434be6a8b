import type { Clock } from "../clock.ts";
import { ExclaimError } from "../errors.ts";
import { type Listener, withoutSecrets } from "./redlock-nodes.ts";

/** Releases of one key that nodes of different speed may be telling of at the same time. */
const REMEMBERED_RELEASES = 8;

/**
 * Who is woken by which channel: one subscription a node and channel however many wait, and it ends with the last of them. A release
 * wakes them once, when so many nodes have told of it that a quorum may be free.
 */
export class Wakeups {
  readonly #listeners: readonly Listener[];
  readonly #clock: Clock;
  readonly #channels = new Map<string, Channel>();
  /** One a node, so that a message says which node it is from. */
  readonly #hearing: readonly (readonly [Listener, (name: string, owner: string) => void])[];

  constructor(listeners: readonly Listener[], clock: Clock) {
    this.#listeners = listeners;
    this.#clock = clock;
    this.#hearing = listeners.map((listener) => [listener, (name, owner) => this.#channels.get(name)?.hear(listener, owner)]);
  }

  /** After: a quorum has confirmed. The returned function ends it. Throws LOCK_UNREACHABLE. */
  async watch(name: string, wake: () => void, limitMs: number): Promise<() => void> {
    const channel = this.#channels.get(name) ?? this.#open(name);
    const watcher = { wake };
    channel.watchers.add(watcher);
    const leave = () => {
      if (channel.watchers.delete(watcher) && channel.watchers.size === 0) this.#close(name);
    };
    const isConfirmed = await new Promise<boolean>((resolve) => {
      const cancel = this.#clock.after(limitMs, () => this.#clock.after(0, () => resolve(false)));
      void channel.isConfirmed.then((answer) => {
        cancel();
        resolve(answer);
      });
    });
    if (isConfirmed) return leave;
    const error = channel.unreachable(limitMs);
    leave();
    throw error;
  }

  #open(name: string): Channel {
    if (this.#channels.size === 0) for (const [{ subscriber }, hear] of this.#hearing) subscriber.on("message", hear);
    const channel = new Channel(name, this.#listeners);
    this.#channels.set(name, channel);
    return channel;
  }

  #close(name: string): void {
    this.#channels.delete(name);
    for (const { subscriber } of this.#listeners) {
      const unsubscribe = async () => subscriber.unsubscribe(name);
      unsubscribe().catch(() => undefined);
    }
    if (this.#channels.size === 0) for (const [{ subscriber }, hear] of this.#hearing) subscriber.off("message", hear);
  }
}

class Channel {
  /** An object for each, since the same function may wait twice. */
  readonly watchers = new Set<{ readonly wake: () => void }>();
  /** Whether a quorum has confirmed, once it has or cannot any more. */
  readonly isConfirmed: Promise<boolean>;
  readonly #listeners: readonly Listener[];
  readonly #quorum: number;
  readonly #confirmed = new Set<Listener>();
  readonly #causes = new Map<Listener, string>();
  /** Which nodes have told of whose release; the oldest is forgotten first. */
  readonly #releases = new Map<string, Set<Listener>>();

  constructor(name: string, listeners: readonly Listener[]) {
    this.#listeners = listeners;
    this.#quorum = (listeners.length + 1) / 2;
    this.isConfirmed = new Promise((resolve) => {
      for (const listener of listeners) {
        const subscribe = async () => listener.subscriber.subscribe(name);
        subscribe().then(
          () => {
            this.#confirmed.add(listener);
            if (this.#confirmed.size >= this.#quorum) resolve(true);
          },
          (error: unknown) => {
            const text = error instanceof Error ? error.message : String(error);
            this.#causes.set(listener, withoutSecrets(text, listener.subscriber));
            if (this.#causes.size >= this.#quorum) resolve(false);
          },
        );
      }
    });
  }

  hear(listener: Listener, owner: string): void {
    const before = this.#releases.get(owner);
    // A node that tells again of the same owner tells of its next release.
    const told = before === undefined || before.has(listener) ? new Set<Listener>() : before;
    this.#releases.set(owner, told.add(listener));
    const [oldest] = this.#releases.keys();
    if (this.#releases.size > REMEMBERED_RELEASES && oldest !== undefined) this.#releases.delete(oldest);
    // A release may have happened on the nodes that are not listened to and so many others that it was a quorum.
    const unheard = this.#listeners.length - this.#confirmed.size;
    if (told.size !== Math.max(1, this.#quorum - unheard)) return;
    for (const { wake } of [...this.watchers]) wake();
  }

  unreachable(limitMs: number): ExclaimError {
    const nodes = this.#listeners.flatMap((listener) => {
      const { status } = listener.subscriber;
      const silence = `no answer within ${Math.round(limitMs)} ms${status === undefined ? "" : ` (subscriber is ${status})`}`;
      const cause = this.#causes.get(listener) ?? silence;
      return this.#confirmed.has(listener) ? [] : [{ node: listener.name, cause }];
    });
    const causes = nodes.map(({ node, cause }) => `; ${node}: ${cause}`).join("");
    const message = `redlock cannot tell waiters of releases: ${this.#confirmed.size} of ${this.#listeners.length} nodes can be listened to${causes}`;
    return new ExclaimError("LOCK_UNREACHABLE", message, { backend: "redlock", nodes });
  }
}
