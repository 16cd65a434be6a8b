import type { MemoryLedger } from "../../src/ledger/memory.ts";

/** Makes a memory ledger with some of its calls replaced. */
export function replacing(
  changes: Partial<MemoryLedger> | ((inner: MemoryLedger) => Partial<MemoryLedger>),
): (inner: MemoryLedger) => MemoryLedger {
  return (inner) => {
    const replaced = typeof changes === "function" ? changes(inner) : changes;
    return new Proxy(inner, {
      get: (target, name) => {
        const value: unknown = Reflect.get(replaced, name) ?? Reflect.get(target, name, target);
        return typeof value === "function" && !(name in replaced) ? value.bind(target) : value;
      },
    });
  };
}
