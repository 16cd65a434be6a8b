import type { Clock } from "../clock.ts";
import type { LockWaiter } from "./lock.ts";
import { Call } from "./zookeeper-call.ts";
import { CONNECTION_LOSS, codeOf, NO_NODE } from "./zookeeper-client.ts";
import { excluderOf, nodesOf } from "./zookeeper-line.ts";
import type { Nodes } from "./zookeeper-nodes.ts";

/** Something at the server that tells once when it changes. */
interface Alarm {
  readonly listeners: Set<() => void>;
  /** Once the server knows; false when there is nothing to watch. */
  readonly isSet: Promise<boolean>;
}

interface Watch {
  readonly waiter: LockWaiter;
  readonly wake: () => void;
  /** Until it is stopped. */
  readonly life: Call;
  /** Aims anew. The same function all the time, so that no alarm has it twice. */
  readonly again: () => void;
}

/**
 * Who waits for what to go, by one session.
 * Shape: the client keeps a watcher until it fires; neither it nor the server takes one back. So there is one a node, however many wait
 * for that node and however often, and those who stopped are not told.
 */
export class Watches {
  readonly #nodes: Nodes;
  readonly #clock: Clock;
  readonly #alarms = new Map<string, Alarm>();

  constructor(nodes: Nodes, clock: Clock) {
    this.#nodes = nodes;
    this.#clock = clock;
  }

  /** Resolves once the server knows. Watches the one node that keeps the waiter from winning, then the next such, until stopped. */
  async watch(call: Call, waiter: LockWaiter, wake: () => void): Promise<() => void> {
    const life = new Call(this.#clock.now());
    const stop = () => life.end();
    const watch: Watch = { waiter, wake, life, again: () => void this.#aimAgain(watch) };
    const calledOff = call.onOver(stop);
    await this.#aim(watch);
    calledOff();
    return stop;
  }

  async #aim(watch: Watch): Promise<void> {
    const { waiter, life } = watch;
    const { spot, owner } = this.#nodes.claimant(waiter.key, waiter.owner);
    const { session } = this.#nodes;
    for (;;) {
      const line = await this.#nodes.line(life, spot);
      const excluder = excluderOf(line, owner, waiter.mode);
      // Who has its turn watches its own place: without it, it has to be told again.
      const target = excluder ?? nodesOf(line, owner)[0];
      if (excluder === undefined && target !== undefined) watch.wake();
      if (target !== undefined) {
        if (await this.#listen(watch, target.path, (call, fire) => session.watchNode(call, target.path, fire))) return;
        continue;
      }
      // Somebody may come before one who has no place: it is told of whatever comes and goes.
      if (await this.#listen(watch, spot.bucket, (call, fire) => session.watchFolder(call, spot.bucket, fire))) {
        if (excluderOf(await this.#nodes.line(life, spot), owner, waiter.mode) === undefined) return watch.wake();
      } else {
        await this.#nodes.makeFolders(life, spot);
      }
    }
  }

  async #aimAgain(watch: Watch): Promise<void> {
    while (!watch.life.isOver) {
      try {
        return await this.#aim(watch);
      } catch (error) {
        if (codeOf(error) !== CONNECTION_LOSS) break;
      }
    }
    // There will be no wake-up any more: the waiter had better ask.
    if (!watch.life.isOver) watch.wake();
  }

  /** After: true, the watch aims again when something happens to the node; false, there is none. */
  #listen({ life, again }: Watch, path: string, set: (call: Call, fire: () => void) => Promise<unknown>): Promise<boolean> {
    const alarm = this.#alarms.get(path) ?? this.#setAlarm(path, set);
    alarm.listeners.add(again);
    life.onOver(() => alarm.listeners.delete(again));
    return alarm.isSet;
  }

  #setAlarm(path: string, set: (call: Call, fire: () => void) => Promise<unknown>): Alarm {
    const listeners = new Set<() => void>();
    const remove = () => this.#alarms.delete(path);
    const fire = () => {
      remove();
      for (const listener of listeners) listener();
    };
    // Not by the call of the one who came first: others may wait for it too.
    const isSet = set(new Call(this.#clock.now()), fire).then(
      () => true,
      (error) => {
        remove();
        if (codeOf(error) === NO_NODE) return false;
        throw error;
      },
    );
    const alarm = { listeners, isSet };
    this.#alarms.set(path, alarm);
    return alarm;
  }
}
