/** The process of one package under test; `losses.ts` starts it. */
import { setTimeout as delay } from "node:timers/promises";
import type { Redis } from "ioredis";
import { serve } from "../child.ts";
import { CONNECTIONS, connect, disconnect } from "./connections.ts";
import type { Hold, Lock } from "./contender.ts";
import { type LossCalls, type LossKind, TELLING } from "./loss-calls.ts";
import { monotonicMs } from "./monotonic.ts";

const POLL_MS = 10;
/** A free key may not be won at the first try by a package that gives up on a machine that stalls. */
const START_LIMIT_MS = 5_000;

interface Held {
  readonly clients: Redis[];
  readonly lock: Lock;
  readonly hold: Hold;
  toldAtMs: number | null;
}

const helds = new Map<LossKind, Held>();

serve<LossCalls>({
  async hold({ contender: name, loss, key, urls, connections, ttlMs }) {
    const contender = TELLING.find((one) => one.name === name);
    if (contender === undefined) throw new Error(`there is no contender ${name}`);
    const clients = await connect(urls, CONNECTIONS[connections](ttlMs));
    const lock = contender.open(clients, ttlMs);
    const hold = await lock.acquire(key, START_LIMIT_MS);
    if (hold === null) throw new Error(`${key} should have been free`);
    const held: Held = { clients, lock, hold, toldAtMs: null };
    hold.onLost?.(() => {
      held.toldAtMs ??= monotonicMs();
    });
    helds.set(loss, held);
    return undefined;
  },

  async watch({ untilMs }) {
    const isTold = (): boolean => [...helds.values()].every(({ toldAtMs }) => toldAtMs !== null);
    while (!isTold() && monotonicMs() < untilMs) await delay(POLL_MS);
    const toldAtMs = (loss: LossKind): number | null => helds.get(loss)?.toldAtMs ?? null;
    return { stolen: toldAtMs("stolen"), hung: toldAtMs("hung"), killed: toldAtMs("killed") };
  },

  async drop() {
    for (const { clients, lock, hold } of helds.values()) {
      disconnect(clients);
      hold.release().catch(() => {});
      lock.close().catch(() => {});
    }
    helds.clear();
    return undefined;
  },
});
