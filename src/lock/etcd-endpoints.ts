/** The members of an etcd cluster, who we are to them, and what of both may be told. */
import { ExclaimError } from "../errors.ts";

export interface Endpoint {
  /** Host and port: what errors call it. */
  readonly name: string;
  /** Ends with a slash. */
  readonly url: string;
}

export interface Credentials {
  readonly username: string;
  readonly password: string;
}

/**
 * Checks the URLs of the members' client ports.
 * Throws CONFIG_INVALID, without the URL where it holds a password: none, one that is no http URL, one with a name and password in it.
 */
export function resolveEndpoints(endpoints: string | readonly string[]): readonly Endpoint[] {
  const urls = typeof endpoints === "string" ? [endpoints] : endpoints;
  if (!Array.isArray(urls) || urls.length === 0) {
    throw invalid('etcd() needs the URL of a member, or a list of them: etcd("http://127.0.0.1:2379").');
  }
  return urls.map((text: unknown, index) => {
    const url = typeof text === "string" && URL.canParse(text) ? new URL(text) : undefined;
    if (url === undefined || !/^https?:$/.test(url.protocol)) {
      throw invalid(`etcd() needs URLs such as http://127.0.0.1:2379: endpoint ${index + 1} of ${urls.length} is none.`);
    }
    if (url.username !== "" || url.password !== "") {
      throw invalid(`etcd() takes name and password as options: take them out of the URL of ${url.host}.`);
    }
    return { name: url.host, url: `${url.origin}${url.pathname.replace(/(?<!\/)\/*$/, "/")}` };
  });
}

/** Throws CONFIG_INVALID: a name without a password, or the other way round. */
export function resolveCredentials(username?: string, password?: string): Credentials | undefined {
  if (username === undefined && password === undefined) return undefined;
  if (!username || !password) throw invalid("etcd() needs both username and password, or neither.");
  return { username, password };
}

export function assertPositive(name: string, valueMs: number): void {
  if (!(Number.isFinite(valueMs) && valueMs > 0)) throw invalid(`etcd: ${name} is a positive number of ms, not ${valueMs}.`);
}

function invalid(message: string): ExclaimError {
  return new ExclaimError("CONFIG_INVALID", message, { backend: "etcd" });
}
