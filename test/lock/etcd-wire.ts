import type { EtcdFetch, EtcdRequest, EtcdResponse } from "../../src/lock/etcd-client.ts";
import { httpFetch } from "../../src/lock/etcd-http.ts";

/** What befalls a request instead of just being sent. `send` goes on whatever becomes of its sender; `stream` is the request as it is. */
type Fault = (send: () => Promise<EtcdResponse>, stream: () => Promise<EtcdResponse>) => Promise<EtcdResponse>;

interface Trap {
  readonly path: string;
  readonly host: string | undefined;
  readonly fault: Fault;
}

/** Requests to etcd that a test watches and meddles with. Each fault befalls one request: the next to that path, and host if told. */
export class Wire {
  /** All requests so far. */
  readonly sent: { readonly path: string; readonly host: string; readonly request: EtcdRequest }[] = [];
  #traps: Trap[] = [];
  readonly #target: string | undefined;
  readonly #http = httpFetch();

  /** Whatever host they are for, they all go to the server at `target`, if told. */
  constructor(target?: string) {
    this.#target = target;
  }

  readonly fetch: EtcdFetch = async (url, request) => {
    const { host, pathname } = new URL(url);
    const path = pathname.replace("/v3/", "");
    this.sent.push({ path, host, request });
    const trap = this.#traps.find((one) => one.path === path && (one.host ?? host) === host);
    if (trap === undefined) return this.#send(url, request);
    this.#traps = this.#traps.filter((one) => one !== trap);
    return trap.fault(
      () => this.#sendRegardless(url, request),
      () => this.#send(url, request),
    );
  };

  /** The paths of all requests so far, below /v3/. */
  get paths(): readonly string[] {
    return this.sent.map(({ path }) => path);
  }

  count(path: string): number {
    return this.paths.filter((one) => one === path).length;
  }

  /** It reaches the server, and the connection is cut before the answer comes. */
  cutAnswer(path: string): void {
    this.fault(path, async (send) => {
      await send();
      throw cutConnection();
    });
  }

  /** It reaches the server, and the answer never comes. Resolves once the server has answered. */
  loseAnswer(path: string, host?: string): Promise<void> {
    return new Promise((answered) => {
      this.fault(
        path,
        async (send) => {
          await send();
          answered();
          return silence();
        },
        host,
      );
    });
  }

  /** It waits until the returned function lets it go on, however long its sender does. That resolves with what the server answers. */
  delay(path: string, host?: string): () => Promise<string> {
    let begin = () => {};
    const begun = new Promise<void>((resolve) => {
      begin = resolve;
    });
    let answered: (text: string) => void = () => {};
    const answer = new Promise<string>((resolve) => {
      answered = resolve;
    });
    this.fault(
      path,
      async (send) => {
        await begun;
        const response = await send();
        answered(await response.text());
        return response;
      },
      host,
    );
    return () => {
      begin();
      return answer;
    };
  }

  fault(path: string, fault: Fault, host?: string): void {
    this.#traps.push({ path, host, fault });
  }

  #send(url: string, request: EtcdRequest): Promise<EtcdResponse> {
    const { pathname } = new URL(url);
    return this.#http(this.#target === undefined ? url : new URL(pathname, this.#target).href, request);
  }

  /** Whatever becomes of its sender's interest in it. */
  async #sendRegardless(url: string, request: EtcdRequest): Promise<EtcdResponse> {
    const { ok, status, text } = await this.#send(url, { ...request, signal: new AbortController().signal });
    const answer = await text();
    return { ok, status, text: async () => answer, body: null };
  }
}

/** Not even an abort ends it, as with a client that does not care. */
export function silence(): Promise<never> {
  return new Promise(() => {});
}

export function cutConnection(): Error {
  return Object.assign(new Error("read ECONNRESET"), { code: "ECONNRESET" });
}
