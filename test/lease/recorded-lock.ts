import type { Clock } from "../../src/clock.ts";
import type { LockBackend, LockCapabilities, LockLease } from "../../src/lock/lock.ts";
import { memoryLock } from "../../src/lock/memory.ts";

/** One call as the back-end got it. */
export interface LockCall {
  readonly name: "acquire" | "extend" | "extendMany" | "release" | "watch";
  readonly keys: readonly string[];
  readonly owner: string;
  readonly mode: string | undefined;
  readonly atMs: number;
}

/** A lock in memory that notes its calls. */
export interface RecordedLock extends LockBackend {
  readonly calls: LockCall[];
  /** Watches that were not ended. */
  readonly watches: ReadonlySet<() => void>;
  count(name: LockCall["name"]): number;
  /** Whether it is held, or somebody waits in its line: whether a stranger could not have it. */
  isTaken(key: string): Promise<boolean>;
}

export interface LockScript {
  /** `line`: fifo and wake-ups; `push`: wake-ups alone; `plain`: neither. @default "line" */
  readonly kind?: "line" | "push" | "plain";
  readonly capabilities?: Partial<LockCapabilities>;
  /** Calls to be replaced; each may use the lock as it would be without. */
  readonly replace?: (inner: LockBackend) => Partial<LockBackend>;
}

export function recordedLock(clock: Clock, { kind = "line", capabilities = {}, replace }: LockScript = {}): RecordedLock {
  const memory = memoryLock({ clock });
  const inner: LockBackend = {
    ...memory,
    capabilities: { ...memory.capabilities, fifo: kind === "line", push: kind !== "plain", ...capabilities },
    acquire: (key, options) => memory.acquire(key, { ...options, queue: kind === "line" && options.queue === true }),
  };
  const { extendMany, watch, ...rest } = { ...inner, ...replace?.(inner) };
  const calls: LockCall[] = [];
  const watches = new Set<() => void>();
  const note = (name: LockCall["name"], leases: readonly { key: string; owner: string; mode?: string }[]): void => {
    const keys = leases.map(({ key }) => key);
    calls.push({ name, keys, owner: leases[0]?.owner ?? "", mode: leases[0]?.mode, atMs: clock.now() });
  };

  return {
    ...rest,
    calls,
    watches,
    count: (name) => calls.filter((call) => call.name === name).length,
    async isTaken(key) {
      const { lease } = await memory.acquire(key, { ttlMs: 1, owner: "stranger" });
      if (lease !== null) await memory.release(lease);
      return lease === null;
    },
    acquire(key, options) {
      note("acquire", [{ key, ...options }]);
      return rest.acquire(key, options);
    },
    extend(lease) {
      note("extend", [lease]);
      return rest.extend(lease);
    },
    release(lease) {
      note("release", [lease]);
      return rest.release(lease);
    },
    ...(extendMany === undefined
      ? {}
      : {
          extendMany(leases: readonly LockLease[]) {
            note("extendMany", leases);
            return extendMany(leases);
          },
        }),
    ...(watch === undefined || kind === "plain"
      ? {}
      : {
          watch(waiter, wake) {
            note("watch", [waiter]);
            return watch(waiter, wake).then((stop) => {
              watches.add(stop);
              return () => {
                watches.delete(stop);
                return stop();
              };
            });
          },
        }),
  };
}
