import { ExclaimError } from "../errors.ts";
import { databaseError } from "../ledger/database-errors.ts";
import { type Statements, statements } from "../ledger/run-statement.ts";
import { dispatchBatch, NoConnection } from "./dispatch-batch.ts";
import type { DispatcherSettings } from "./dispatcher-settings.ts";
import { Drains } from "./drains.ts";
import { Outage } from "./outage.ts";
import { OutboxListener } from "./outbox-listener.ts";
import type { OutboxDispatcher } from "./outbox-options.ts";
import type { OutboxRoute } from "./outbox-routes.ts";
import { forgetSent } from "./outbox-statements.ts";
import type { RefusedRow } from "./send-in-order.ts";

const STATEMENT_TIMEOUT_MS = 10_000;
/** How soon to look again at rows that another dispatcher has, at most: it may not serve all that is locked with them. */
const BUSY_PAUSE_MS = 100;
/** How often somebody who waits for a drain is thought of. */
const DRAIN_POLL_MS = 250;
const HOUSE_KEEPING_INTERVAL_MS = 60_000;
/** Rows forgotten in one statement. */
const FORGET_AT_ONCE = 10_000;

interface RouteState {
  readonly route: OutboxRoute;
  readonly outage: Outage;
  /** When the rows are due that this dispatcher put off. */
  dueAtMs: readonly number[];
}

/** Moves messages from the outbox to their destinations until closed: one batch after the other, of each route in turn. */
export class Dispatcher implements OutboxDispatcher {
  readonly #settings: DispatcherSettings;
  readonly #server: Statements;
  readonly #routes: readonly RouteState[];
  readonly #database: Outage;
  readonly #listener: OutboxListener | undefined;
  readonly #drains: Drains;
  readonly #ended: Promise<void>;
  #houseKeepingAtMs = 0;
  #isClosing = false;
  #isWoken = false;
  #wakeUp = (): void => {};

  constructor(settings: DispatcherSettings) {
    const { database, clock, random, report, channel } = settings;
    this.#settings = settings;
    this.#server = statements(database, clock, STATEMENT_TIMEOUT_MS);
    this.#routes = settings.routes.map((route) => ({
      route,
      outage: new Outage(clock, random, report),
      dueAtMs: [],
    }));
    this.#database = new Outage(clock, random, report);
    this.#drains = new Drains(clock);
    if (hasRoomToListen(database)) this.#listener = new OutboxListener(this.#server, clock, channel, () => this.#wake());
    this.#ended = this.#run();
  }

  drain(): Promise<void> {
    if (this.#isClosing) return Promise.reject(closed());
    for (const outage of this.#outages()) outage.hurry();
    const drained = this.#drains.add();
    this.#wake();
    return drained;
  }

  async close(): Promise<void> {
    this.#isClosing = true;
    this.#wake();
    await this.#ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #run(): Promise<void> {
    while (!this.#isClosing) {
      this.#isWoken = false;
      const pauseMs = await this.#turn();
      if (pauseMs > 0) await this.#sleep(pauseMs);
    }
    this.#listener?.close();
    this.#drains.fail(closed());
  }

  /** One batch of each route. Returns how long there is nothing to do, in ms. Never throws. */
  async #turn(): Promise<number> {
    const turn = this.#drains.begin();
    let pauseMs = this.#settings.pollMs;
    let isIdle = true;
    for (const state of this.#routes) {
      if (this.#isClosing) return 0;
      const { isDone, pauseMs: routePauseMs } = await this.#dispatch(state);
      isIdle &&= isDone;
      pauseMs = Math.min(pauseMs, routePauseMs);
    }
    pauseMs = Math.min(pauseMs, await this.#keepHouse());
    this.#drains.end(turn, isIdle, [...this.#outages()]);
    return this.#drains.isWaitedFor ? Math.min(pauseMs, DRAIN_POLL_MS) : pauseMs;
  }

  /** One batch. `isDone`: nothing of the route is due. */
  async #dispatch(state: RouteState): Promise<{ readonly isDone: boolean; readonly pauseMs: number }> {
    const { route, outage } = state;
    const outagePauseMs = Math.max(outage.pauseMs, this.#database.pauseMs);
    if (outagePauseMs > 0) return { isDone: false, pauseMs: outagePauseMs };
    const answer = await this.#attempt(() => dispatchBatch(this.#settings, this.#server, route));
    if (answer === undefined) return { isDone: false, pauseMs: this.#database.pauseMs };
    if (answer.status === "busy") return { isDone: false, pauseMs: 1 + this.#settings.random.fraction() * BUSY_PAUSE_MS };
    if (answer.status === "moved" && answer.failure !== undefined) outage.fail(answer.failure);
    else outage.end();
    if (answer.status !== "moved") return { isDone: true, pauseMs: this.#untilDue(state) };
    this.#note(state, answer.refused);
    return { isDone: false, pauseMs: outage.pauseMs };
  }

  /** How long until a row is due that this dispatcher put off, in ms. What others put off is found by polling. */
  #untilDue(state: RouteState): number {
    const nowMs = this.#settings.clock.now();
    // Their moment has come and nothing is due: they are seen to.
    state.dueAtMs = state.dueAtMs.filter((dueAtMs) => dueAtMs > nowMs);
    return state.dueAtMs.reduce((first, dueAtMs) => Math.min(first, dueAtMs), Number.POSITIVE_INFINITY) - nowMs;
  }

  #note(state: RouteState, refused: readonly RefusedRow[]): void {
    const nowMs = this.#settings.clock.now();
    const dueAtMs = refused.flatMap(({ delayMs }) => (delayMs === null ? [] : [nowMs + delayMs]));
    state.dueAtMs = [...state.dueAtMs, ...dueAtMs];
    for (const { error } of refused) this.#settings.report(error);
  }

  /** Forgets rows once in a while. Returns how long it is not due again, in ms. */
  async #keepHouse(): Promise<number> {
    const { clock, random, schema, lockSpace, retentionMs } = this.#settings;
    const leftMs = this.#houseKeepingAtMs - clock.now();
    if (leftMs > 0 || this.#database.pauseMs > 0) return Math.max(leftMs, this.#database.pauseMs);
    const answer = await this.#attempt(() => this.#server.run(forgetSent(schema, lockSpace, retentionMs, FORGET_AT_ONCE)));
    const { count } = (answer?.rows[0] ?? { count: null }) as { readonly count: string | null };
    const pauseMs = Number(count) >= FORGET_AT_ONCE ? 0 : HOUSE_KEEPING_INTERVAL_MS * (0.75 + random.fraction() / 2);
    this.#houseKeepingAtMs = clock.now() + pauseMs;
    return pauseMs;
  }

  /** Asks the database; undefined when it failed, which is noted. */
  async #attempt<T>(call: () => Promise<T>): Promise<T | undefined> {
    try {
      const answer = await call();
      this.#database.end();
      return answer;
    } catch (error) {
      const isExhausted = error instanceof NoConnection;
      if (isExhausted) this.#listener?.surrender();
      this.#database.fail(databaseError(isExhausted ? error.cause : error, "the outbox could not be dispatched"));
      return undefined;
    }
  }

  #outages(): readonly Outage[] {
    return [this.#database, ...this.#routes.map(({ outage }) => outage)];
  }

  #wake(): void {
    this.#isWoken = true;
    this.#wakeUp();
  }

  #sleep(delayMs: number): Promise<void> {
    if (this.#isWoken) return Promise.resolve();
    return new Promise((resolve) => {
      const cancel = this.#settings.clock.after(delayMs, () => this.#wakeUp(), true);
      this.#wakeUp = () => {
        cancel();
        this.#wakeUp = () => {};
        resolve();
      };
    });
  }
}

/** A pool of one connection has none to spare. */
function hasRoomToListen(database: object): boolean {
  const { options } = database as { readonly options?: { readonly max?: unknown } };
  return options?.max !== 1;
}

function closed(): ExclaimError {
  return new ExclaimError("CLOSED", "the outbox dispatcher is closed");
}
