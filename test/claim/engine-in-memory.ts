import { createEngine, type Engine } from "../../src/claim/engine.ts";
import type { Pool } from "../../src/claim/pool.ts";
import { isExclaimError } from "../../src/errors.ts";
import { EventSource } from "../../src/events.ts";
import type { DeadLetters } from "../../src/ledger/dead-letters.ts";
import type { RowOutcome } from "../../src/ledger/imports.ts";
import type { Row } from "../../src/ledger/ledger.ts";
import { type MemoryLedger, memoryLedger } from "../../src/ledger/memory.ts";
import { type MemoryDeadLetters, memoryDeadLetters } from "../../src/ledger/memory-dead-letters.ts";
import { type MemoryResources, memoryResources } from "../../src/ledger/memory-resources.ts";
import type { PoolDefinition } from "../../src/ledger/pool-definition.ts";
import type { LockBackend } from "../../src/lock/lock.ts";
import { memoryLock } from "../../src/lock/memory.ts";
import { systemRandom } from "../../src/random.ts";
import { ManualClock } from "../support/manual-clock.ts";

export interface Voucher {
  readonly id: number;
  readonly code: string;
  readonly user_id: string | null;
}

/** An engine over a ledger and a clock in memory. */
export interface EngineInMemory {
  readonly clock: ManualClock;
  readonly ledger: MemoryLedger;
  readonly lock: LockBackend;
  readonly events: EventSource;
  readonly rows: Row[];
  readonly engine: Engine;
  readonly vouchers: Pool<Voucher>;
  /** What the ledger remembers of named resources. */
  readonly resources: MemoryResources;
  readonly deadLetters: MemoryDeadLetters;
  /** The calls that told what became of rows of imports. */
  readonly settled: (readonly RowOutcome[])[];
  /** A second process over the same ledger and lock, and its pool. */
  otherEngine(): Engine;
  otherProcess(): Pool<Voucher>;
}

export const TTL_MS = 3_000;

/** Opens a pool of `rows` vouchers. `lock` false: the ledger's lease alone. */
export function openEngine(
  rows: number,
  options: {
    lock?: LockBackend | false;
    ledger?: (inner: MemoryLedger) => MemoryLedger;
    deadLetters?: (inner: MemoryDeadLetters) => DeadLetters;
    /** Does what is done about rows of imports, once it was noted. */
    settle?: () => Promise<void>;
  } = {},
): EngineInMemory {
  const clock = new ManualClock();
  const table: Row[] = Array.from({ length: rows }, (_, index) => ({
    id: index + 1,
    code: `CODE-${index + 1}`,
    user_id: null,
  }));
  const inner = memoryLedger({ clock, tables: { voucher_item: table } });
  const ledger = options.ledger?.(inner) ?? inner;
  const lock = options.lock === false || options.lock === undefined ? memoryLock({ clock }) : options.lock;
  const events = new EventSource();
  const resourceLedger = memoryResources({ clock });
  const recorded = memoryDeadLetters({ clock });
  const deadLetters = options.deadLetters?.(recorded) ?? recorded;
  const settled: (readonly RowOutcome[])[] = [];
  const importOutcomes = {
    async settle(rows: readonly RowOutcome[]) {
      settled.push(rows);
      await options.settle?.();
    },
  };
  const outerLock = options.lock === false ? undefined : lock;
  const own = { ledger, resourceLedger, deadLetters, importOutcomes };
  const ports = { clock, random: systemRandom, ...own, events, ttlMs: TTL_MS, lock: outerLock };
  const definition: PoolDefinition = { table: "voucher_item", ownerColumn: "user_id" };
  const engine = createEngine(ports);
  return {
    clock,
    ledger: inner,
    lock,
    events,
    rows: table,
    engine,
    vouchers: engine.pool<Voucher>(definition),
    resources: resourceLedger,
    deadLetters: recorded,
    settled,
    otherEngine: () => createEngine({ ...ports, ledger: inner }),
    otherProcess: () => createEngine({ ...ports, ledger: inner }).pool<Voucher>(definition),
  };
}

/** A promise and its two ends: lets a test decide when a handler goes on. */
export function gate(): { readonly opened: Promise<void>; open(): void } {
  let open = (): void => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open };
}

/** The code of what `act` throws; undefined when it does not throw. */
export function thrownCode(act: () => void): string | undefined {
  try {
    act();
    return undefined;
  } catch (error) {
    return isExclaimError(error) ? error.code : String(error);
  }
}
