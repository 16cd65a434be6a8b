import { ExclaimError } from "../errors.ts";
import type { EtcdClient, Question } from "./etcd-client.ts";
import type { Endpoint } from "./etcd-endpoints.ts";

/** The questions of one call to the back-end: all of them together end within its time limit. */
export class EtcdCall {
  readonly limitMs: number;
  readonly #client: EtcdClient;
  readonly #what: string;
  readonly #untilMs: number;

  /** `what` is told in errors: what it is that cannot be done. */
  constructor(client: EtcdClient, what: string, limitMs: number) {
    this.limitMs = limitMs;
    this.#client = client;
    this.#what = what;
    this.#untilMs = client.clock.now() + limitMs;
  }

  get leftMs(): number {
    return Math.max(0, this.#untilMs - this.#client.clock.now());
  }

  /**
   * The first answer that a member gives. The next member is asked as well when one fails or is silent for its share of the time left.
   * Throws LOCK_UNREACHABLE: every member failed, or the time is up. What was sent may still be done.
   */
  ask<T>(question: Question<T>): Promise<T> {
    const { clock, order } = this.#client;
    const { leftMs } = this;
    const waiting = [...order];
    const causes = new Map<Endpoint, string>();
    if (leftMs === 0) return Promise.reject(this.unreachable(causes));
    const abort = new AbortController();
    return new Promise((resolve, reject) => {
      let cancelPatience = () => {};
      const end = () => {
        cancelPatience();
        cancelLimit();
        abort.abort();
      };
      const fail = () => {
        end();
        reject(this.unreachable(causes));
      };
      // A timer that is late, after a stall of the event loop, may find the answer waiting in the socket: it is read first.
      let cancelLimit = clock.after(
        leftMs,
        () => {
          cancelLimit = clock.after(0, fail, true);
        },
        true,
      );
      const askNext = () => {
        cancelPatience();
        const endpoint = waiting.shift();
        if (endpoint === undefined) return;
        if (waiting.length > 0) cancelPatience = clock.after(leftMs / order.length, askNext, true);
        this.#client.ask(endpoint, question, abort.signal, leftMs).then(
          (answer) => {
            if (abort.signal.aborted) return;
            this.#client.prefer(endpoint);
            end();
            resolve(answer);
          },
          (error: Error) => {
            if (abort.signal.aborted) return;
            causes.set(endpoint, error.message);
            if (causes.size === order.length) fail();
            else askNext();
          },
        );
      };
      askNext();
    });
  }

  /** The error that names the members and why each of them was of no help. */
  unreachable(causes: ReadonlyMap<Endpoint, string>): ExclaimError {
    const silence = `no answer within ${Math.round(this.limitMs)} ms`;
    const nodes = this.#client.endpoints.map((endpoint) => ({ node: endpoint.name, cause: causes.get(endpoint) ?? silence }));
    const told = nodes.map(({ node, cause }) => `; ${node}: ${cause}`).join("");
    const message = `etcd could not ${this.#what}: no member answered as it should. Check that most of them run${told}`;
    return new ExclaimError("LOCK_UNREACHABLE", message, { backend: "etcd", nodes });
  }
}
