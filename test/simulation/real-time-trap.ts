/** What a run must not ask: the time of day, chance, timers of the process. */
const TRAPPED = [
  { of: Date, name: "now" },
  { of: Math, name: "random" },
  { of: performance, name: "now" },
  { of: globalThis, name: "setTimeout" },
  { of: globalThis, name: "setInterval" },
  { of: globalThis, name: "setImmediate" },
] as const satisfies readonly { readonly of: object; readonly name: string }[];

/**
 * Runs `work`, in which whoever asks for real time or chance is refused by an error. Nothing else of the process may run meanwhile:
 * the work goes on by microtasks and ticks alone.
 */
export async function withoutRealTime<T>(work: () => Promise<T>): Promise<T> {
  const kept = TRAPPED.map(({ of, name }) => Object.getOwnPropertyDescriptor(of, name) ?? { value: undefined });
  for (const { of, name } of TRAPPED)
    Object.defineProperty(of, name, { configurable: true, writable: true, value: () => refuse(name) });
  try {
    return await work();
  } finally {
    TRAPPED.forEach(({ of, name }, index) => {
      const descriptor = kept[index];
      // What was inherited is uncovered again.
      if (descriptor?.value === undefined && descriptor?.get === undefined) Reflect.deleteProperty(of, name);
      else Object.defineProperty(of, name, descriptor);
    });
  }
}

function refuse(name: string): never {
  throw new Error(`a simulated run asked for real time or chance: ${name}()`);
}
