/** Node warns of a leak from the eleventh listener of a signal on, and a process may have thousands who wait: one listener a signal. */
const callbacks = new WeakMap<AbortSignal, Set<() => void>>();

/** Calls `fire` when any of the signals, none of them aborted yet, is aborted. The returned function calls it off. */
export function onAbort(signals: readonly AbortSignal[], fire: () => void): () => void {
  for (const signal of signals) add(signal, fire);
  return () => {
    for (const signal of signals) remove(signal, fire);
  };
}

function add(signal: AbortSignal, fire: () => void): void {
  const waiting = callbacks.get(signal) ?? new Set();
  if (waiting.size === 0) {
    callbacks.set(signal, waiting);
    signal.addEventListener("abort", fireAll);
  }
  waiting.add(fire);
}

function remove(signal: AbortSignal, fire: () => void): void {
  const waiting = callbacks.get(signal);
  if (waiting?.delete(fire) !== true || waiting.size > 0) return;
  callbacks.delete(signal);
  signal.removeEventListener("abort", fireAll);
}

function fireAll({ target }: Event): void {
  for (const fire of callbacks.get(target as AbortSignal) ?? []) fire();
}
