import type { TimeLimit } from "./postgres-time-limit.ts";

/** Of all keys: the payload is the hash of the one that was freed. */
const CHANNEL = "exclaim_locks";

/** What is used of the connection that listens: a connected `pg.Client`, or one checked out of a pool. Whoever opened it closes it. */
export interface PostgresListener {
  query(text: string): Promise<unknown>;
  on(
    event: "notification",
    listener: (message: { readonly channel: string; readonly payload?: string | undefined }) => void,
  ): unknown;
  on(event: "error" | "end", listener: (error: Error) => void): unknown;
}

/** Who of this process waits for which key, and the one connection that hears of them. */
export class WakeUps {
  readonly #listener: PostgresListener;
  readonly #wakes = new Map<string, Set<() => void>>();
  #listening: Promise<unknown> | undefined;
  #end: Error | undefined;

  constructor(listener: PostgresListener) {
    this.#listener = listener;
  }

  isWatched(hash: Buffer): boolean {
    return this.#wakes.has(hash.toString("hex"));
  }

  /** After: each time the key is freed `wake` is called, until the returned function is. */
  async watch(hash: Buffer, wake: () => void, limit: TimeLimit): Promise<() => void> {
    await this.#listen(limit);
    const id = hash.toString("hex");
    const wakes = this.#wakes.get(id) ?? new Set();
    // The same function may wait twice.
    const entry = () => wake();
    this.#wakes.set(id, wakes.add(entry));
    return () => {
      if (wakes.delete(entry) && wakes.size === 0 && this.#wakes.get(id) === wakes) this.#wakes.delete(id);
    };
  }

  async #listen(limit: TimeLimit): Promise<void> {
    if (this.#end !== undefined) throw this.#end;
    if (this.#listening === undefined) {
      this.#hear();
      this.#listening = this.#listener.query(`listen ${CHANNEL}`);
      this.#listening.catch((error: Error) => this.#lose(error));
    }
    await limit.wait(this.#listening);
    if (this.#end !== undefined) throw this.#end;
  }

  #hear(): void {
    this.#listener.on("notification", ({ channel, payload = "" }) => {
      if (channel === CHANNEL) for (const wake of [...(this.#wakes.get(payload) ?? [])]) wake();
    });
    this.#listener.on("error", (error) => this.#lose(error));
    this.#listener.on("end", () => this.#lose(new Error("the connection was closed")));
  }

  #lose(error: Error): void {
    this.#end ??= new Error(`the listener is lost (${error.message}): give the back-end a new one`);
  }
}
