import { EtcdCall } from "./etcd-call.ts";
import type { Answer, EtcdClient } from "./etcd-client.ts";
import type { Endpoint } from "./etcd-endpoints.ts";
import { closestRival, look, type Place } from "./etcd-line.ts";

/** From a connection that broke to the next look. */
const PAUSE_MS = 1_000;

export interface WatchOptions {
  /** For errors: what it is that cannot be done. */
  readonly what: string;
  /** For each look with the stream that follows it. */
  readonly limitMs: number;
  /** Called when nobody stands before the place. */
  readonly wake: () => void;
}

interface WatchAnswer extends Answer {
  readonly canceled?: boolean;
  readonly cancel_reason?: string;
  readonly events?: readonly unknown[];
}

/** A stream that the server has begun, and what it waits for. */
interface Vigil {
  readonly isTurn: boolean;
  /** Resolves once something that may change our turn was deleted. Rejects when the stream breaks. */
  readonly end: () => Promise<void>;
}

/**
 * Watches the one contender before a place, and when that is gone the next: so a release wakes one waiter and lets the others sleep.
 * Starts from the revision of the look, so nothing between the two is missed.
 * After: the server watches. The returned function ends the stream, and everything else.
 * Throws LOCK_UNREACHABLE: no member would watch.
 */
export async function watchPlace(client: EtcdClient, place: Place, options: WatchOptions): Promise<() => void> {
  const stop = new AbortController();
  const first = await keepVigil(client, place, options, stop.signal);
  void goOn(client, place, options, stop.signal, first);
  return () => stop.abort();
}

async function goOn(client: EtcdClient, place: Place, options: WatchOptions, stop: AbortSignal, first: Vigil): Promise<void> {
  for (let vigil: Vigil | undefined = first; !stop.aborted; ) {
    try {
      if (vigil?.isTurn) wakeSafely(options.wake);
      await vigil?.end();
      vigil = await keepVigil(client, place, options, stop);
    } catch {
      // Nobody is told: wake-ups are a hint, and what could not be watched now may be later.
      await pauseOrStop(client, stop);
      vigil = undefined;
    }
  }
}

/** What the one who is woken throws is not a broken stream, and must not end the process either. */
function wakeSafely(wake: () => void): void {
  try {
    wake();
  } catch {}
}

async function keepVigil(client: EtcdClient, place: Place, { what, limitMs }: WatchOptions, stop: AbortSignal): Promise<Vigil> {
  const call = new EtcdCall(client, what, limitMs);
  const { own, rival, revision } = await call.ask(look(place));
  const closest = rival === undefined ? { rival, revision } : await call.ask(closestRival(place, own));
  const keys = closest.rival === undefined ? place.rivals : { key: closest.rival.key };
  const watched = { ...keys, start_revision: String(closest.revision + 1n), filters: ["NOPUT"] };
  const end = await openStream(client, call, { create_request: watched }, stop);
  return { isTurn: closest.rival === undefined, end };
}

/** Has the first member that will watch do so. The returned function waits for the first event. */
async function openStream(
  client: EtcdClient,
  call: EtcdCall,
  message: object,
  stop: AbortSignal,
): Promise<() => Promise<void>> {
  const causes = new Map<Endpoint, string>();
  const members = client.order;
  for (const [index, endpoint] of members.entries()) {
    const shareMs = call.leftMs / (members.length - index);
    const abort = new AbortController();
    const answers = client.stream(endpoint, "watch", message, AbortSignal.any([stop, abort.signal]), shareMs);
    try {
      const { value: created } = await withinLimit(client, shareMs, answers.next());
      assertWatching(created);
      return () => firstEvent(answers).finally(() => abort.abort());
    } catch (error) {
      abort.abort();
      // A stream that begins after all ends by this.
      answers.return(undefined).catch(() => {});
      causes.set(endpoint, (error as Error).message);
    }
  }
  throw call.unreachable(causes);
}

async function firstEvent(answers: AsyncGenerator<Answer>): Promise<void> {
  for (;;) {
    const { value } = await answers.next();
    assertWatching(value);
    if (value.events !== undefined && value.events.length > 0) return;
  }
}

function assertWatching(answer: WatchAnswer | undefined): asserts answer is WatchAnswer {
  if (answer === undefined) throw new Error("the stream ended");
  if (answer.canceled) throw new Error(`watching was refused: ${answer.cancel_reason ?? "the revision is no longer there"}`);
}

function withinLimit<T>({ clock }: EtcdClient, limitMs: number, work: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const cancel = clock.after(limitMs, () => reject(new Error(`no answer within ${Math.round(limitMs)} ms`)), true);
    work.then(resolve, reject).finally(cancel);
  });
}

function pauseOrStop({ clock }: EtcdClient, stop: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      cancel();
      stop.removeEventListener("abort", end);
      resolve();
    };
    const cancel = clock.after(PAUSE_MS, end);
    stop.addEventListener("abort", end);
  });
}
