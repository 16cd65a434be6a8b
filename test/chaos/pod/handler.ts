import { setTimeout as delay } from "node:timers/promises";
import { type Claim, ExclaimError } from "../../../src/index.ts";
import { type HistoryLog, monotonicMs } from "../history-log.ts";
import type { ChaosMessage, EffectSent } from "../pod-messages.ts";
import type { SeededRandom } from "../random-of.ts";
import { currentDelivery } from "./current-delivery.ts";
import type { Failpoints } from "./failpoints.ts";

/** What a handler works with. */
export interface HandlerPorts {
  readonly log: HistoryLog;
  readonly failpoints: Failpoints;
  readonly random: SeededRandom;
  readonly ttlMs: number;
  /** Whether a handler may still take far longer than a lease: what began so shortly before the faults are over is waited for. */
  readonly mayTakeLong: () => boolean;
  readonly sendEffects: (effects: readonly EffectSent[]) => Promise<void>;
}

/** What a write returns. */
interface Written {
  readonly resource: string;
  /** How often its message was written for before it was completed, by whomever. */
  readonly tries: number;
}

interface Work {
  readonly delivery: string;
  readonly resource: string;
  readonly token: number;
  readonly claimant: string;
}

/** How often a handler gives its row back and fails, so that rows are claimed more than once. */
const RELEASED_SHARE = 0.1;

/** Between the short and the far longer, for either queue. */
const SLOW_ROLL = 0.94;

/** How often what never succeeds is tried. */
const POISON_TRIES = 3;

const WRITE_SQL = "insert into fenced_writes (resource, claimant, token, completes, message) values ($1, $2, $3, $4, $5)";
const TRIES_SQL = "select count(*)::int as tries from fenced_writes where message = $1 and not completes";

/** The handler of every message: it checks that it holds, writes behind the fence, tells the world and completes. */
export function chaosHandler(ports: HandlerPorts, table: "voucher_item" | "order") {
  const { log, failpoints, random } = ports;
  let ops = 0;
  return async function handler(message: ChaosMessage, claim: Claim<unknown>): Promise<unknown> {
    const delivery = currentDelivery();
    const work: Work = {
      delivery: delivery.id,
      resource: `${table}:${claim.key}`,
      token: Number(claim.token),
      claimant: claim.claimant,
    };
    const { attempt, resumed } = claim;
    log.write({ what: "started", ...work, attempt, resumed });
    fail(failpoints, "F9 handler entered");
    await delay(message.isPoison ? 0 : thinkMs(message));
    assertHeld(claim, work);
    const { tries } = await write(claim, work, false);
    fail(failpoints, "F10 effect sent");
    assertHeld(claim, work);
    const { resource, token, claimant } = work;
    await ports.sendEffects([{ key: effectKey(work, message.message), via: "direct", claimant, resource, token }]);
    fail(failpoints, "F11 effect answered");
    if (message.isPoison) throw poison(tries);
    if (random.fraction() < RELEASED_SHARE) {
      await claim.release();
      throw new Error("given back");
    }
    return write(claim, work, true);
  };

  /** Most are done at once, some take about a lease, a few far longer. */
  function thinkMs({ isSlow = false }: ChaosMessage): number {
    const roll = isSlow ? SLOW_ROLL : random.fraction();
    const [shortShare, leaseShare] = table === "voucher_item" ? [0.8, 0.95] : [0.93, 0.98];
    if (roll < shortShare) return (random.fraction() * ports.ttlMs) / 10;
    if (roll < leaseShare || !ports.mayTakeLong()) return ports.ttlMs * (0.8 + 0.4 * random.fraction());
    return ports.ttlMs * (3 + 0.5 * random.fraction());
  }

  function assertHeld(claim: Claim<unknown>, { delivery, resource, token }: Work): void {
    const askedAt = monotonicMs();
    claim.assertHeld();
    log.write({ what: "held", askedAt, delivery, resource, token });
  }

  async function write(claim: Claim<unknown>, work: Work, completes: boolean): Promise<Written> {
    const { delivery, resource, token, claimant } = work;
    ops += 1;
    const call = { what: "write", op: `${log.by}/${table}/${ops}`, delivery, resource, token, completes } as const;
    log.write({ ...call, phase: "invoke", publishes: completes });
    try {
      const run = completes ? claim.complete.bind(claim) : claim.transaction.bind(claim);
      const value = await run(async (tx) => {
        const { message } = currentDelivery();
        await tx.query(WRITE_SQL, [resource, claimant, String(tx.token), completes, message]);
        if (completes) await tx.publish("effect", { claimant, resource, token });
        const { rows } = await tx.query(TRIES_SQL, [message]);
        return { resource, tries: (rows[0] as { readonly tries: number }).tries };
      });
      log.write({ ...call, phase: "ok" });
      return value;
    } catch (error) {
      log.write({ ...call, phase: isUnknown(error) ? "info" : "fail" });
      throw error;
    }
  }
}

/** Some tries, and then never again: both brokers know an error by that name. */
function poison(tries: number): Error {
  const error = new Error("this message is poison");
  if (tries >= POISON_TRIES) error.name = "UnrecoverableError";
  return error;
}

/** The claim's own: whoever has it again sends the same. A key has no claim that outlasts its message. */
function effectKey({ resource, claimant }: Work, message: string): string {
  return resource.startsWith("voucher_item:") ? `${resource}/${claimant}` : `${resource}/${message}`;
}

function fail(failpoints: Failpoints, point: "F9 handler entered" | "F10 effect sent" | "F11 effect answered"): void {
  const struck = failpoints.pass(point);
  if (struck?.does !== "throw") return;
  struck.hit();
  throw new Error(`planted at ${point}`);
}

function isUnknown(error: unknown): boolean {
  return error instanceof ExclaimError && error.code === "COMMIT_UNKNOWN";
}
