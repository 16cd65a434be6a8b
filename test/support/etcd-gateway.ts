/** etcd asked by plain fetch, so that what tests see of it does not depend on the code they test. */

export interface EtcdKey {
  readonly key: string;
  readonly value: string;
  readonly lease: string;
}

interface RangeAnswer {
  readonly kvs?: readonly { readonly key: string; readonly value?: string; readonly lease?: string }[];
}

/** One request to the first of the members that answers it. Throws what the last one said. */
export async function askEtcd(urls: readonly string[], path: string, message: object = {}, token?: string): Promise<unknown> {
  let failure: unknown = new Error("there is nobody to ask");
  for (const url of urls) {
    try {
      const response = await fetch(new URL(`v3/${path}`, url), {
        method: "POST",
        headers: token === undefined ? {} : { authorization: token },
        body: JSON.stringify(message),
        signal: AbortSignal.timeout(3_000),
      });
      const text = await response.text();
      if (response.ok) return JSON.parse(text);
      failure = new Error(`${path}: ${text}`);
    } catch (error) {
      failure = error;
    }
  }
  throw failure;
}

/** Everything under a prefix, the oldest first, as most members agree. */
export async function keysOfEtcd(urls: readonly string[], prefix: string): Promise<EtcdKey[]> {
  const answer = (await askEtcd(urls, "kv/range", { ...rangeOf(prefix), sort_target: "CREATE" })) as RangeAnswer;
  return (answer.kvs ?? []).map(({ key, value = "", lease = "0" }) => ({
    key: fromBase64(key),
    value: fromBase64(value),
    lease,
  }));
}

/** Deletes everything under a prefix. */
export async function clearEtcd(urls: readonly string[], prefix: string): Promise<void> {
  await askEtcd(urls, "kv/deleterange", rangeOf(prefix));
}

/** The ids of all leases there are. */
export async function leasesOfEtcd(urls: readonly string[]): Promise<string[]> {
  const { leases = [] } = (await askEtcd(urls, "lease/leases")) as { leases?: { ID: string }[] };
  return leases.map(({ ID }) => ID);
}

export function toBase64(text: string): string {
  return Buffer.from(text).toString("base64");
}

function fromBase64(text: string): string {
  return Buffer.from(text, "base64").toString();
}

/** Up to the last byte + 1, which must not carry over. */
function rangeOf(prefix: string): { key: string; range_end: string } {
  const end = Buffer.from(prefix);
  end[end.length - 1] = (end.at(-1) ?? 0) + 1;
  return { key: toBase64(prefix), range_end: end.toString("base64") };
}
