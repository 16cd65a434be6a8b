import { checkMs, MAX_MS } from "../claim/check-request.ts";
import { ExclaimError, isExclaimError } from "../errors.ts";
import type { ConsumerCallback } from "./amqplib-callback.ts";
import type { AmqpChannel, AmqpConnection } from "./amqplib-channel.ts";
import { closeChannel } from "./amqplib-close-channel.ts";
import { connectionErrors } from "./amqplib-connection-errors.ts";
import { pause, within } from "./amqplib-pause.ts";
import { declareTopology, type TopologyOptions } from "./amqplib-topology.ts";
import { messageOf } from "./message-of.ts";

export const DEFAULT_CONCURRENCY = 10;
export const DEFAULT_DRAIN_MS = 10_000;

const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 30_000;
/** A session that lasted so long is no part of a loop of failures. */
const LASTING_MS = 1_000;
/** So often in a row it must say that it is closed: while it breaks it may say so once, and then makes its callers wait. */
const CLOSED_TRIES = 5;
/** A broker that is silent does not confirm that a channel has closed. */
const CLOSE_LIMIT_MS = 2_000;
/** access-refused, not-found, resource-locked, precondition-failed. Source: AMQP 0-9-1 reference, constants. */
const REFUSALS: readonly unknown[] = [403, 404, 405, 406];

/** How a whole consumer works, beside its claims. */
export interface ConsumerOptions extends TopologyOptions {
  /** How many messages are served at a time: the prefetch of the channel. 1 to 65,535. @default 10 */
  readonly concurrency?: number;
  /** Declares the queues, at the start and after each reconnection. @default true */
  readonly declare?: boolean;
  /** Closes the consumer, also while it starts. @default none */
  readonly signal?: AbortSignal;
}

/** A running consumer. */
export interface Consumer extends AsyncDisposable {
  /**
   * Takes no more messages, waits up to `drainMs` (10,000 by default) for the running ones to be settled, and closes the channel; what is
   * not settled then is delivered again, to another consumer. Never closes the connection. Idempotent.
   * Throws CONFIG_INVALID: `drainMs` is no number from 0 to 86,400,000.
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
  /** Why the connection has stopped to recover. */
  #givenUp: Error | undefined;

  constructor(parts: ConsumerParts) {
    this.#parts = parts;
    this.ended = new Promise((resolve, reject) => {
      this.#end = (error) => (error === undefined ? resolve() : reject(error));
    });
    this.ended.catch(() => {});
    connectionErrors(parts.connection).add(this.#onConnectionError);
    parts.connection.on("reconnect-failed", this.#onGivenUp);
    void this.ended.finally(() => this.#letGo()).catch(() => {});
    const { signal } = parts.options;
    if (signal?.aborted) void this.close();
    else signal?.addEventListener("abort", this.#onAbort, { once: true });
  }

  /** Resolves once the first session consumes. Throws what keeps it from that, if that is nothing that passes. */
  async start(): Promise<void> {
    try {
      void this.#keepConsuming(await this.#openSession(0, isRefusal));
    } catch (error) {
      this.#closing.abort();
      this.#end();
      throw error;
    }
  }

  async close({ drainMs = DEFAULT_DRAIN_MS }: { readonly drainMs?: number } = {}): Promise<void> {
    checkMs("drainMs", drainMs, 0, MAX_MS);
    this.#closed ??= this.#close(drainMs);
    await this.#closed;
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
      this.#end(this.#report("the consumer has ended, connect anew", cause));
    }
  }

  /**
   * Opens a session, however often that takes.
   * Throws what `isFinal` says nothing can be done about; what the connection throws that gives no channel any more; CLOSED.
   */
  async #openSession(firstPauseMs: number, isFinal: (error: unknown) => boolean): Promise<Session> {
    let pauseMs = firstPauseMs;
    let saidClosed = 0;
    for (;;) {
      if (pauseMs > 0) await pause(pauseMs * (0.5 + Math.random() / 2), this.#closing.signal);
      if (this.#closing.signal.aborted) throw closed();
      let channel: AmqpChannel | undefined;
      try {
        channel = await this.#openChannel();
        return await this.#consume(channel);
      } catch (error) {
        if (this.#closing.signal.aborted) throw closed();
        saidClosed = channel === undefined && isClosedConnection(error) ? saidClosed + 1 : 0;
        if (isFinal(error) || saidClosed >= CLOSED_TRIES || this.#givenUp !== undefined) throw this.#givenUp ?? error;
        this.#report("consuming has failed and is tried again", error);
      }
      pauseMs = Math.min(LONGEST_PAUSE_MS, Math.max(FIRST_PAUSE_MS, pauseMs * 2));
    }
  }

  /** A connection that is away lets us wait for as long as it takes, which `close` does not. */
  async #openChannel(): Promise<AmqpChannel> {
    const opening = this.#parts.connection.createChannel();
    const opened = new AbortController();
    try {
      const channel = await Promise.race([opening, pause(MAX_MS, AbortSignal.any([this.#closing.signal, opened.signal]))]);
      if (channel !== undefined) return channel;
    } finally {
      opened.abort();
    }
    opening.then(closeChannel, () => {});
    throw closed();
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
    this.#end();
  }

  #letGo(): void {
    connectionErrors(this.#parts.connection).delete(this.#onConnectionError);
    this.#parts.connection.removeListener("reconnect-failed", this.#onGivenUp);
    this.#parts.options.signal?.removeEventListener("abort", this.#onAbort);
  }

  readonly #onAbort = (): void => {
    void this.close();
  };

  readonly #onGivenUp = (error: Error): void => {
    this.#givenUp = error;
  };

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

/** By the errors that amqplib gives for a connection that was closed, plain or recovering. */
function isClosedConnection(error: unknown): boolean {
  const { name, message } = (error ?? {}) as { readonly name?: unknown; readonly message?: unknown };
  return name === "IllegalOperationError" || message === "Connection closed";
}

async function attempt(act: () => Promise<unknown>): Promise<void> {
  try {
    await act();
  } catch {
    // Closed already.
  }
}
