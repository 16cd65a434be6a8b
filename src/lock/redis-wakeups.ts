import type { Clock } from "../clock.ts";
import type { RedisSubscriber } from "./redis-client.ts";
import { type Purpose, within } from "./redis-limit.ts";

interface Channel {
  /** An object for each, since the same function may wait twice. */
  readonly watchers: Set<{ readonly wake: () => void }>;
  /** Settles once Redis has confirmed or refused. */
  readonly subscription: Promise<unknown>;
}

/** Who is woken by which channel: one subscription a channel however many wait, and it ends with the last of them. */
export class Wakeups {
  readonly #subscriber: RedisSubscriber;
  readonly #clock: Clock;
  readonly #channels = new Map<string, Channel>();

  constructor(subscriber: RedisSubscriber, clock: Clock) {
    this.#subscriber = subscriber;
    this.#clock = clock;
  }

  /** After: Redis has confirmed. The returned function ends it. Throws LOCK_UNREACHABLE. */
  async watch(name: string, wake: () => void, purpose: Purpose): Promise<() => void> {
    const channel = this.#channels.get(name) ?? this.#subscribe(name);
    const watcher = { wake };
    channel.watchers.add(watcher);
    const leave = () => {
      if (channel.watchers.delete(watcher) && channel.watchers.size === 0) this.#unsubscribe(name);
    };
    try {
      await within(channel.subscription, this.#subscriber, purpose, this.#clock);
    } catch (error) {
      leave();
      throw error;
    }
    return leave;
  }

  #subscribe(name: string): Channel {
    if (this.#channels.size === 0) this.#subscriber.on("message", this.#onMessage);
    const subscribe = async () => this.#subscriber.subscribe(name);
    const channel: Channel = { watchers: new Set(), subscription: subscribe() };
    this.#channels.set(name, channel);
    return channel;
  }

  #unsubscribe(name: string): void {
    this.#channels.delete(name);
    if (this.#channels.size === 0) this.#subscriber.off("message", this.#onMessage);
    const unsubscribe = async () => this.#subscriber.unsubscribe(name);
    unsubscribe().catch(() => undefined);
  }

  readonly #onMessage = (name: string): void => {
    for (const { wake } of [...(this.#channels.get(name)?.watchers ?? [])]) wake();
  };
}
