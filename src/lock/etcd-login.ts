import type { Credentials, Endpoint } from "./etcd-endpoints.ts";

/**
 * The token that stands for name and password in every request, shared by all of them: it is good at every member, and each login
 * costs the server tens of ms of hashing.
 */
export class Login {
  readonly credentials: Credentials;
  /** By endpoint, so that nobody waits for a silent member's login where another would answer. */
  readonly #pending = new Map<Endpoint, Promise<string>>();
  #token: string | undefined;

  constructor(credentials: Credentials) {
    this.credentials = credentials;
  }

  /** The token there is, else what `authenticate` brings, which runs once at a time for an endpoint. */
  async token(endpoint: Endpoint, authenticate: () => Promise<string>): Promise<string> {
    if (this.#token !== undefined) return this.#token;
    const pending = this.#pending.get(endpoint) ?? this.#begin(endpoint, authenticate);
    return pending;
  }

  /** The server does not know it any more: tokens end by themselves, with a restart, and when rights change. */
  forget(token: string): void {
    if (this.#token === token) this.#token = undefined;
  }

  /** For errors: what others say may quote what we sent. */
  withoutSecrets(text: string): string {
    const { password } = this.credentials;
    const quoted = JSON.stringify(password).slice(1, -1);
    return [password, quoted, this.#token ?? ""].reduce(
      (rest, secret) => (secret ? rest.replaceAll(secret, "***") : rest),
      text,
    );
  }

  async #begin(endpoint: Endpoint, authenticate: () => Promise<string>): Promise<string> {
    const login = authenticate();
    this.#pending.set(endpoint, login);
    try {
      this.#token = await login;
      return this.#token;
    } finally {
      this.#pending.delete(endpoint);
    }
  }
}
