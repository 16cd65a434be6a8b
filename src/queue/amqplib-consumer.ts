import { ExclaimError, isExclaimError } from "../errors.ts";
import type { ConsumerCallback } from "./amqplib-callback.ts";
import type { AmqpChannel } from "./amqplib-channel.ts";
import { declareTopology, type TopologyOptions } from "./amqplib-topology.ts";
import { messageOf } from "./message-of.ts";

export const DEFAULT_CONCURRENCY = 10;
export const DEFAULT_DRAIN_MS = 10_000;

const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 30_000;
/** A session that lasted so long is no part of a loop of failures. */
const LASTING_MS = 1_000;
/** A connection that gives no channel so often in a row is closed for good: one that recovers makes its callers wait instead. */
const CHANNEL_TRIES = 5;
/** A broker that is silent does not confirm that a channel has closed. */
const CLOSE_LIMIT_MS = 2_000;
/** access-refused, not-found, resource-locked, precondition-failed. Source: AMQP 0-9-1 reference, constants. */
const REFUSALS: readonly unknown[] = [403, 404, 405, 406];

/** What is used of amqplib's connection: one made with `recovery`, or a plain one. */
export interface AmqpConnection {
  createChannel(): Promise<AmqpChannel>;
  on(event: "error", listener: (error: Error) => void): unknown;
  removeListener(event: "error", listener: (error: Error) => void): unknown;
}

/** How a whole consumer works, beside its claims. */
export interface ConsumerOptions extends TopologyOptions {
  /** How many messages are served at a time: the prefetch of the channel. 1 to 65,535. @default 10 */
  readonly concurrency?: number;
  /** Declares the queues, at the start and after each reconnection. @default true */
  readonly declare?: boolean;
}

/** A running consumer. */
export interface Consumer extends AsyncDisposable {
  /**
   * Takes no more messages, waits up to `drainMs` (10,000 by default) for the running ones to be settled, and closes the channel; what is
   * not settled then is delivered again, to another consumer. Never closes the connection. Idempotent, never throws.
   */
  close(options?: { readonly drainMs?: number }): Promise<void>;
  /** Resolves once the consumer is closed. Rejects when it can go on no more: the connection is closed for good. */
  readonly ended: Promise<void>;
}

export interface ConsumerParts {
  readonly connection: AmqpConnection;
  readonly queue: string;
  readonly options: ConsumerOptions;
  /** The callback for a channel. `onCancelled`: the broker has cancelled its consumer. */
  readonly callbackFor: (channel: AmqpChannel, onCancelled: () => void) => ConsumerCallback;
  readonly report: (error: ExclaimError) => void;
}

/** One channel of the consumer, from its first message to its last. */
interface Session {
  readonly channel: AmqpChannel;
  readonly callback: ConsumerCallback;
  readonly consumerTag: string;
  /** Resolves when the channel has closed or the consumer was cancelled. */
  readonly over: Promise<void>;
  /** Monotonic. */
  readonly sinceMs: number;
}

/** Starts consuming. Resolves once it consumes; throws what keeps it from that. */
export async function startConsumer(parts: ConsumerParts): Promise<Consumer> {
  const consumer = new RunningConsumer(parts);
  await consumer.start();
  return consumer;
}

class RunningConsumer implements Consumer {
  readonly ended: Promise<void>;
  readonly #parts: ConsumerParts;
  readonly #closing = new AbortController();
  /** Sessions whose deliveries are not all settled yet. */
  readonly #sessions = new Set<Session>();
  #end: (error?: ExclaimError) => void = () => {};
  #closed: Promise<void> | undefined;

  constructor(parts: ConsumerParts) {
    this.#parts = parts;
    this.ended = new Promise((resolve, reject) => {
      this.#end = (error) => (error === undefined ? resolve() : reject(error));
    });
    this.ended.catch(() => {});
    parts.connection.on("error", this.#onConnectionError);
  }

  /** Resolves once the first session consumes. Throws what keeps it from that, if that is nothing that passes. */
  async start(): Promise<void> {
    try {
      void this.#keepConsuming(await this.#openSession(0, isRefusal));
    } catch (error) {
      this.#parts.connection.removeListener("error", this.#onConnectionError);
      throw error;
    }
  }

  close({ drainMs = DEFAULT_DRAIN_MS }: { readonly drainMs?: number } = {}): Promise<void> {
    this.#closed ??= this.#close(drainMs);
    return this.#closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** One session after the other, until `close` or the end of the connection. Never throws. */
  async #keepConsuming(first: Session): Promise<void> {
    const { signal } = this.#closing;
    let session = first;
    try {
      for (;;) {
        await session.over;
        if (signal.aborted) return;
        void this.#retire(session);
        // At once, since messages that come back to a deleted queue wait for it; but not for a session that ended as it began.
        const lastedMs = performance.now() - session.sinceMs;
        session = await this.#openSession(lastedMs < LASTING_MS ? FIRST_PAUSE_MS : 0, () => false);
      }
    } catch (cause) {
      if (signal.aborted) return;
      this.#parts.connection.removeListener("error", this.#onConnectionError);
      this.#end(this.#report("the consumer has ended, connect anew", cause));
    }
  }

  /**
   * Opens a session, however often that takes.
   * Throws what `isFinal` says nothing can be done about; what the connection throws that gives no channel any more; CLOSED.
   */
  async #openSession(firstPauseMs: number, isFinal: (error: unknown) => boolean): Promise<Session> {
    let pauseMs = firstPauseMs;
    let withoutChannel = 0;
    for (;;) {
      if (pauseMs > 0) await pause(pauseMs * (0.5 + Math.random() / 2), this.#closing.signal);
      if (this.#closing.signal.aborted) throw closed();
      let channel: AmqpChannel | undefined;
      try {
        channel = await this.#parts.connection.createChannel();
        return await this.#consume(channel);
      } catch (error) {
        if (this.#closing.signal.aborted) throw closed();
        withoutChannel = channel === undefined ? withoutChannel + 1 : 0;
        if (isFinal(error) || withoutChannel >= CHANNEL_TRIES) throw error;
        this.#report("consuming has failed and is tried again", error);
      }
      pauseMs = Math.min(LONGEST_PAUSE_MS, Math.max(FIRST_PAUSE_MS, pauseMs * 2));
    }
  }

  async #consume(channel: AmqpChannel): Promise<Session> {
    const { queue, options, callbackFor } = this.#parts;
    const { signal } = this.#closing;
    let end = (): void => {};
    const over = new Promise<void>((resolve) => {
      end = resolve;
    });
    channel.on("close", end);
    channel.on("error", (error) => this.#report("the channel was closed by the broker", error));
    signal.addEventListener("abort", end);
    void over.then(() => signal.removeEventListener("abort", end));
    try {
      if (options.declare ?? true) await declareTopology(channel, queue, options);
      await channel.prefetch(options.concurrency ?? DEFAULT_CONCURRENCY);
      if (signal.aborted) throw closed();
      const callback = callbackFor(channel, end);
      const { consumerTag } = await channel.consume(queue, callback);
      const session = { channel, callback, consumerTag, over, sinceMs: performance.now() };
      // Closed in this moment: nobody else knows of this channel, and what it was given goes back to its queue.
      if (signal.aborted) throw closed();
      this.#sessions.add(session);
      return session;
    } catch (error) {
      end();
      void closeChannel(channel);
      throw error;
    }
  }

  /** Lets a session that gets no more messages finish what it has. */
  async #retire(session: Session): Promise<void> {
    await session.callback.drain();
    this.#sessions.delete(session);
    await closeChannel(session.channel);
  }

  async #close(drainMs: number): Promise<void> {
    this.#closing.abort();
    const sessions = [...this.#sessions];
    const drained = sessions.map(async ({ channel, callback, consumerTag }) => {
      // A channel that has closed, or a tag that the broker has cancelled, takes no messages either.
      await attempt(() => channel.cancel(consumerTag));
      await callback.drain();
    });
    await within(drainMs, Promise.all(drained));
    await within(CLOSE_LIMIT_MS, Promise.all(sessions.map(({ channel }) => closeChannel(channel))));
    this.#parts.connection.removeListener("error", this.#onConnectionError);
    this.#end();
  }

  readonly #onConnectionError = (error: Error): void => {
    this.#report("the connection broke", error);
  };

  #report(what: string, cause: unknown): ExclaimError {
    const code = isExclaimError(cause) ? cause.code : "ABORTED";
    const error = new ExclaimError(code, `queue ${this.#parts.queue}: ${what}: ${messageOf(cause)}`, { cause });
    this.#parts.report(error);
    return error;
  }
}

function closed(): ExclaimError {
  return new ExclaimError("CLOSED", "the consumer was closed");
}

/** What another try would meet again: a wrong option, queues that exist otherwise, an answer by which the broker refuses. */
function isRefusal(error: unknown): boolean {
  if (isExclaimError(error, "CONFIG_INVALID")) return true;
  const { code } = (error ?? {}) as { readonly code?: unknown };
  return REFUSALS.includes(code);
}

async function closeChannel(channel: AmqpChannel): Promise<void> {
  await attempt(() => channel.close());
}

async function attempt(act: () => Promise<unknown>): Promise<void> {
  try {
    await act();
  } catch {
    // Closed already.
  }
}

function pause(delayMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(done, delayMs);
    signal.addEventListener("abort", done, { once: true });
    function done(): void {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    }
  });
}

/** Waits for `work`, but no longer than `limitMs`. */
async function within(limitMs: number, work: Promise<unknown>): Promise<void> {
  const limit = new AbortController();
  await Promise.race([work, pause(limitMs, limit.signal)]);
  limit.abort();
}
