/**
 * A client of etcd's documented HTTP/JSON gateway, as thin as a lock needs it, over HTTP.
 *
 * Why none of npm's: `etcd3` 1.1.2 of 2023 is the only one in wide use and no longer maintained; it reports a lost lease after twice its
 * ttl, its lock hides the lease, and how long it waits for a silent member is not ours to bound. The gateway is there on the client port
 * of every etcd since 3.4 that was not told to go without, speaks JSON, and lets each request have a time limit of its own and go to
 * whichever member answers.
 * Source: etcd v3.4, "Why gRPC gateway", and the API reference.
 */
import type { Clock } from "../clock.ts";
import type { Credentials, Endpoint } from "./etcd-endpoints.ts";
import { Login } from "./etcd-login.ts";

/** What is used of `fetch`: the global one fits, and one that brings a TLS client certificate or goes through a proxy. */
export type EtcdFetch = (url: string, request: EtcdRequest) => Promise<EtcdResponse>;

export interface EtcdRequest {
  readonly method: "POST";
  readonly headers: Record<string, string>;
  readonly body: string;
  readonly signal: AbortSignal;
}

export interface EtcdResponse {
  readonly ok: boolean;
  readonly status: number;
  text(): Promise<string>;
  readonly body: AsyncIterable<Uint8Array> | null;
}

/** What every answer of etcd begins with; the numbers are 64 bits wide, and therefore text. */
export interface Answer {
  readonly header: { readonly revision: string; readonly raft_term: string };
}

/** One thing to ask of etcd. Asking it again, of another member and while the first still thinks, must change nothing more. */
export interface Question<T> {
  /** Below /v3/. */
  readonly path: string;
  readonly message: object;
  readonly read: (answer: Answer) => T;
  /** The gRPC status with which etcd refuses what has happened already, and what that means. */
  readonly refused?: { readonly code: number; readonly meaning: T };
}

export interface ClientOptions {
  readonly endpoints: readonly Endpoint[];
  readonly credentials: Credentials | undefined;
  readonly fetch: EtcdFetch;
  readonly clock: Clock;
}

/** The connection ended without an answer: closed by the server while it was idle or, in some builds of 3.4.23, for a bad token. */
const CUT_CODES: readonly unknown[] = ["UND_ERR_SOCKET", "ECONNRESET", "EPIPE"];
/** A member that is cut off from the others ends a stream with this header; without it, it keeps the stream open and silent. */
const NEEDS_LEADER = { "grpc-metadata-hasleader": "true" };
const TOKEN_REFUSED = /invalid auth token|user name is empty|revision in header is old|revision of auth store is old/i;

/** The members of one cluster. */
export class EtcdClient {
  readonly endpoints: readonly Endpoint[];
  readonly clock: Clock;
  readonly #fetch: EtcdFetch;
  readonly #login: Login | undefined;
  #first = 0;

  constructor({ endpoints, credentials, fetch, clock }: ClientOptions) {
    this.endpoints = endpoints;
    this.clock = clock;
    this.#fetch = fetch;
    this.#login = credentials === undefined ? undefined : new Login(credentials);
  }

  /** All members, first the one that answered last. */
  get order(): readonly Endpoint[] {
    return [...this.endpoints.slice(this.#first), ...this.endpoints.slice(0, this.#first)];
  }

  prefer(endpoint: Endpoint): void {
    this.#first = this.endpoints.indexOf(endpoint);
  }

  /** Asks one member. Throws an error whose message is the cause, free of secrets. */
  async ask<T>(
    endpoint: Endpoint,
    { path, message, read, refused }: Question<T>,
    signal: AbortSignal,
    limitMs: number,
  ): Promise<T> {
    try {
      const { ok, status, text } = await this.#post(endpoint, path, JSON.stringify(message), signal, limitMs);
      if (ok) return read(parseAnswer(text));
      const refusal = parseRefusal(text);
      if (refused !== undefined && refusal.code === refused.code) return refused.meaning;
      throw new Error(refusal.message ?? `HTTP status ${status}: ${text.trim().slice(0, 200)}`);
    } catch (error) {
      throw new Error(this.#causeOf(error));
    }
  }

  /** The answers to one message, as they come, until `signal` aborts or the connection ends. Throws like `ask`. */
  async *stream(
    endpoint: Endpoint,
    path: string,
    message: object,
    signal: AbortSignal,
    limitMs: number,
  ): AsyncGenerator<Answer> {
    try {
      const token = await this.#token(endpoint, limitMs);
      const request = requestOf(JSON.stringify(message), token, signal);
      const headers = { ...request.headers, ...NEEDS_LEADER };
      const { ok, status, body } = await this.#fetch(urlOf(endpoint, path), { ...request, headers });
      if (!ok || body === null) throw new Error(`HTTP status ${status}`);
      const decoder = new TextDecoder();
      let rest = "";
      for await (const chunk of body) {
        const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
        rest = lines.pop() ?? "";
        for (const line of lines) if (line !== "") yield parseAnswer(line);
      }
    } catch (error) {
      throw new Error(this.#causeOf(error));
    }
  }

  /** Sends it, and once more when the token or the connection turns out to be of no use any more. */
  async #post(endpoint: Endpoint, path: string, body: string, signal: AbortSignal, limitMs: number) {
    for (let isAgain = false; ; isAgain = true) {
      const token = await this.#token(endpoint, limitMs);
      try {
        const response = await this.#fetch(urlOf(endpoint, path), requestOf(body, token, signal));
        const reply = { ok: response.ok, status: response.status, text: await response.text() };
        if (isAgain || reply.ok || token === undefined || !TOKEN_REFUSED.test(reply.text)) return reply;
      } catch (error) {
        if (isAgain || signal.aborted || !CUT_CODES.includes(codeOf(error))) throw error;
      }
      if (token !== undefined) this.#login?.forget(token);
    }
  }

  async #token(endpoint: Endpoint, limitMs: number): Promise<string | undefined> {
    const login = this.#login;
    return login?.token(endpoint, async () => {
      // Not the asker's signal: others wait for this login too.
      const abort = new AbortController();
      const cancel = this.clock.after(limitMs, () => abort.abort());
      const { username, password } = login.credentials;
      const body = JSON.stringify({ name: username, password });
      try {
        const response = await this.#fetch(urlOf(endpoint, "auth/authenticate"), requestOf(body, undefined, abort.signal));
        const text = await response.text();
        if (!response.ok)
          throw new Error(`login as ${username}: ${parseRefusal(text).message ?? `HTTP status ${response.status}`}`);
        const answer = parseAnswer(text) as Answer & { readonly token?: string };
        if (answer.token) return answer.token;
        throw new Error(`login as ${username}: etcd gave no token`);
      } finally {
        cancel();
      }
    });
  }

  #causeOf(error: unknown): string {
    const { message, cause } = error as { message?: string; cause?: { message?: string; code?: string } };
    const text = cause?.message || cause?.code || message || String(error);
    return this.#login?.withoutSecrets(text) ?? text;
  }
}

function urlOf(endpoint: Endpoint, path: string): string {
  return `${endpoint.url}v3/${path}`;
}

function requestOf(body: string, token: string | undefined, signal: AbortSignal): EtcdRequest {
  const headers = { "content-type": "application/json", ...(token === undefined ? {} : { authorization: token }) };
  return { method: "POST", headers, body, signal };
}

/** Where etcd streams, an answer is wrapped as the result, and an error comes with a status of 200. */
function parseAnswer(text: string): Answer {
  const { result, ...unary } = parseObject(text);
  const answer = (result ?? unary) as Answer;
  if (typeof answer.header?.raft_term === "string") return answer;
  throw new Error(parseRefusal(text).message ?? "an answer that is not etcd's");
}

function parseRefusal(text: string): { readonly code: unknown; readonly message: string | undefined } {
  const { code, error, message = error } = parseObject(text);
  const told = typeof message === "object" && message !== null && "message" in message ? message.message : message;
  return { code, message: typeof told === "string" ? told : undefined };
}

/** An empty one for what is none. */
function parseObject(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? { ...value } : {};
  } catch {
    return {};
  }
}

function codeOf(error: unknown): unknown {
  const { code, cause } = error as { code?: unknown; cause?: { code?: unknown } };
  return cause?.code ?? code;
}
