import { randomUUID } from "node:crypto";
import type { AmqpChannel, AmqpConsumeOptions } from "./amqplib-channel.ts";

/**
 * Listens where `channel.consume` is called with a callback of ours: only there is it known which queue is consumed and whether its
 * messages need an answer (`noAck`), and a queue must be looked at before its first message comes. It is done on the one channel that was
 * given to us; calls with other callbacks pass as they are.
 *
 * There are two ways in. A call that is made once the callback exists meets our own `consume` on the channel. In
 * `channel.consume(queue, withClaim(channel, ...))`, though, JavaScript has looked `consume` up before `withClaim` runs: that call meets us
 * one step later, at the method basic.consume that amqplib's own `consume` sends next. Source: amqplib 1.2 to 2.3,
 * `lib/channel_model.js`, `Channel#consume`. Should a later amqplib have no such step, the callback learns the queue from its messages.
 */

/** A consumer callback, as `channel.consume` takes it. */
export type OnMessage = Parameters<AmqpChannel["consume"]>[1];

/** Asked before a callback of ours consumes a queue. Throws: it must not. The tag is the one its deliveries will carry. */
export type BeforeConsuming = (queue: string, options: AmqpConsumeOptions & { readonly consumerTag: string }) => Promise<void>;

/** amqplib's number of basic.consume: class 60, method 20. */
const BASIC_CONSUME = 0x3c0014;

type Done = (error: unknown, answer?: unknown) => unknown;
type Rpc = (method: number, fields: AmqpConsumeOptions & { readonly queue: string }, expected: number, done: Done) => unknown;

interface ChannelInside extends AmqpChannel {
  _rpc?: Rpc;
}

/** By the channel: an entry lives as long as it does. */
const watches = new WeakMap<AmqpChannel, ChannelWatch>();

/** Has `before` asked whenever `callback` is about to consume a queue of `channel`. */
export function watchConsume(channel: AmqpChannel, callback: OnMessage, before: BeforeConsuming): void {
  let watch = watches.get(channel);
  if (watch === undefined) {
    watch = new ChannelWatch(channel);
    watches.set(channel, watch);
  }
  watch.add(callback, before);
}

class ChannelWatch {
  readonly #callbacks = new WeakMap<OnMessage, BeforeConsuming>();
  /** Of the callback that was made in this very turn of the event loop, and may be an argument of a call under way. */
  #newest: BeforeConsuming | undefined;
  /** A call that came in by our own `consume` is on its way through amqplib's. */
  #isPassing = false;

  constructor(channel: ChannelInside) {
    this.#watchCalls(channel);
    this.#watchMethods(channel);
  }

  add(callback: OnMessage, before: BeforeConsuming): void {
    this.#callbacks.set(callback, before);
    this.#newest = before;
    queueMicrotask(() => {
      if (this.#newest === before) this.#newest = undefined;
    });
  }

  #watchCalls(channel: AmqpChannel): void {
    const { consume } = channel;
    const pass: AmqpChannel["consume"] = (queue, onMessage, options) => {
      this.#isPassing = true;
      try {
        return consume.call(channel, queue, onMessage, options);
      } finally {
        this.#isPassing = false;
      }
    };
    channel.consume = async (queue, onMessage, options) => {
      const before = this.#callbacks.get(onMessage);
      if (before === undefined) return pass(queue, onMessage, options);
      const named = withTag(options ?? {});
      await before(queue, named);
      return pass(queue, onMessage, named);
    };
  }

  #watchMethods(channel: ChannelInside): void {
    const rpc = channel._rpc;
    if (typeof rpc !== "function") return;
    channel._rpc = (method, fields, expected, done) => {
      const before = this.#newest;
      if (method !== BASIC_CONSUME || this.#isPassing || before === undefined) {
        return rpc.call(channel, method, fields, expected, done);
      }
      this.#newest = undefined;
      const named = withTag(fields);
      before(fields.queue, named)
        .then(() => rpc.call(channel, method, named, expected, done))
        .catch((error: unknown) => done(error));
      return undefined;
    };
  }
}

/** Named by us, since its first delivery may come before amqplib tells the name that the broker would give. */
function withTag<F extends AmqpConsumeOptions>(fields: F): F & { readonly consumerTag: string } {
  return { ...fields, consumerTag: fields.consumerTag || `exclaim-${randomUUID()}` };
}
