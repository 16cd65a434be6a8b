import { inspect } from "node:util";
import { describe, expect, it } from "vitest";
import { etcd } from "../../src/lock/etcd.ts";
import type { EtcdFetch, EtcdResponse } from "../../src/lock/etcd-client.ts";
import type { LockBackend } from "../../src/lock/lock.ts";
import { ManualClock, settle } from "../support/manual-clock.ts";
import { cutConnection, silence } from "./etcd-wire.ts";

const WISH = { ttlMs: 60_000, owner: "a" };
const LEASE = { key: "order:1", ...WISH };
const HEADER = { revision: "7", raft_term: "2" };
const MEMBERS = ["http://one", "http://two", "http://three"];
/** How etcd says that nobody contends. */
const EMPTY_LINE = { header: HEADER, succeeded: true, responses: [{ response_range: {} }, { response_range: {} }] };

// Planted once and seen to fail, each by itself: no time limit, no next member when one fails or is silent.
describe("etcd and members that fail", () => {
  it("L6 asks the next member at once when one refuses the connection, and prefers it from then on", async () => {
    const asked: string[] = [];
    const lock = etcd(MEMBERS, {
      clock: new ManualClock(),
      fetch: async (url) => {
        asked.push(new URL(url).host);
        if (url.startsWith("http://one")) throw refusedConnection();
        return answer(EMPTY_LINE);
      },
    });

    const extended = [await lock.extend(LEASE), await lock.extend(LEASE)];

    expect(extended).toEqual([false, false]);
    expect(asked).toEqual(["one", "two", "two"]);
  });

  it("L6 asks the next member as well when one is silent for its share of the time, and takes whichever answers first", async () => {
    const clock = new ManualClock();
    const asked: string[] = [];
    const fetch: EtcdFetch = (url) => {
      asked.push(new URL(url).host);
      return asked.length < 3 ? silence() : Promise.resolve(answer(EMPTY_LINE));
    };
    const extending = etcd(MEMBERS, { clock, fetch, callTimeoutMs: 900 }).extend(LEASE);

    await clock.advance(299);
    const early = [...asked];
    await clock.advance(1);
    const late = [...asked];
    await clock.advance(300);

    expect(early).toEqual(["one"]);
    expect(late).toEqual(["one", "two"]);
    expect(await extending).toBe(false);
    expect(asked).toEqual(["one", "two", "three"]);
    expect(clock.pendingTimers).toBe(0);
  });

  it("L6 a call ends with its time limit, however many questions it has asked, and names every member", async () => {
    const clock = new ManualClock();
    const fetch: EtcdFetch = async (url) => {
      if (url.endsWith("kv/txn")) return new Promise((resolve) => clock.after(500, () => resolve(answer(EMPTY_LINE))));
      return url.startsWith("http://two") ? answer({ error: "etcdserver: no leader", code: 14 }, 503) : silence();
    };
    const failed = etcd(MEMBERS, { clock, fetch, callTimeoutMs: 900 })
      .acquire("order:1", WISH)
      .catch((error) => error);

    await clock.advance(899);
    const isEarly = await Promise.race([failed.then(() => true), settle().then(() => false)]);
    await clock.advance(1);

    expect(isEarly).toBe(false);
    expect(await failed).toMatchObject({ code: "LOCK_UNREACHABLE", message: expect.stringContaining('acquire "order:1"') });
    expect((await failed).details).toEqual({
      backend: "etcd",
      nodes: [
        { node: "one", cause: "no answer within 900 ms" },
        { node: "two", cause: "etcdserver: no leader" },
        { node: "three", cause: "no answer within 900 ms" },
      ],
    });
  });

  it.each([
    [1_000, undefined, 250],
    [60_000, undefined, 3_000],
    [60_000, 400, 400],
    [2_000, 10_000, 2_000],
  ])("L6 with a ttl of %i ms and a callTimeoutMs of %s a call ends after %i ms", async (ttlMs, callTimeoutMs, limitMs) => {
    const clock = new ManualClock();
    const options = { clock, fetch: silence, ...(callTimeoutMs === undefined ? {} : { callTimeoutMs }) };
    let isOver = false;
    const failed = etcd("http://one", options)
      .acquire("order:1", { ttlMs, owner: "a" })
      .catch((error) => error)
      .finally(() => {
        isOver = true;
      });

    await clock.advance(limitMs - 1);
    const wasOver = isOver;
    await clock.advance(1);

    expect(wasOver).toBe(false);
    expect(await failed).toMatchObject({ code: "LOCK_UNREACHABLE" });
  });

  it("L6 after a stall of the process, what waits in the socket is read before the call ends, and nothing more is asked", async () => {
    const timers: (() => void)[] = [];
    let nowMs = 0;
    const after = (_: number, fire: () => void) => {
      timers.push(fire);
      return () => {};
    };
    const asked: string[] = [];
    let respond: (response: EtcdResponse) => void = () => {};
    const response = new Promise<EtcdResponse>((resolve) => {
      respond = resolve;
    });
    const fetch: EtcdFetch = (url) => {
      asked.push(url);
      return response;
    };
    const lock = etcd("http://one", { clock: { now: () => nowMs, after }, fetch, callTimeoutMs: 900 });
    const calls = Promise.allSettled([lock.extend(LEASE), lock.acquire("order:1", WISH)]);
    await settle();

    nowMs = 5_000;
    for (const fire of timers.splice(0)) fire();
    respond(answer(EMPTY_LINE));
    await settle();
    for (const fire of timers.splice(0)) fire();

    expect(await calls).toMatchObject([
      { status: "fulfilled", value: false },
      { status: "rejected", reason: { code: "LOCK_UNREACHABLE" } },
    ]);
    expect(asked).not.toContain("http://one/v3/lease/grant");
  });

  it.each([
    ["a page of a proxy", "<html>", 200, "an answer that is not etcd's"],
    ["JSON of something else", '{"status":"ok"}', 200, "an answer that is not etcd's"],
    ["null", "null", 200, "an answer that is not etcd's"],
    ["nothing", "", 200, "an answer that is not etcd's"],
    ["an error in a stream", '{"error":{"grpc_code":14,"message":"etcdserver: no leader"}}', 200, "etcdserver: no leader"],
    ["an error without a body", "", 502, "HTTP status 502: "],
  ])("L4 %s is a failure of the member, never an answer", async (_, text, status, cause) => {
    const failures = await failuresOf(
      etcd("http://one", { fetch: async () => ({ ok: status === 200, status, text: async () => text, body: null }) }),
    );

    expect(failures.map(({ code }) => code)).toEqual(Array(5).fill("LOCK_UNREACHABLE"));
    expect(failures.map(({ details }) => details.nodes)).toEqual(Array(5).fill([{ node: "one", cause }]));
  });

  it("L4 an answer to another question is a failure of the member, never an answer", async () => {
    const failures = await failuresOf(etcd("http://one", { fetch: async () => answer({ header: HEADER, responses: [] }) }));

    expect(failures.map(({ details }) => details.nodes[0].cause)).toEqual(Array(5).fill("an answer to another question"));
  });

  it("L4 a client that throws at once is a failure like any other", async () => {
    const fetch = () => {
      throw new Error("no network in here");
    };

    await expect(etcd("http://one", { fetch }).extend(LEASE)).rejects.toMatchObject({
      details: { nodes: [{ node: "one", cause: "no network in here" }] },
    });
  });
});

describe("etcd's login", () => {
  const credentials = { username: "root", password: 'pa55"word' };

  it("is done once for many calls at a time, and its token goes with every request", async () => {
    const sent: string[] = [];
    const fetch: EtcdFetch = async (url, { headers }) => {
      sent.push(`${new URL(url).pathname} ${headers.authorization}`);
      return answer(url.endsWith("authenticate") ? { header: HEADER, token: "t.1" } : EMPTY_LINE);
    };
    const lock = etcd("http://one", { fetch, ...credentials });

    await Promise.all(Array.from({ length: 100 }, () => lock.extend(LEASE)));

    expect(sent.filter((line) => line === "/v3/auth/authenticate undefined")).toHaveLength(1);
    expect(sent.filter((line) => line === "/v3/kv/txn t.1")).toHaveLength(100);
  });

  it.each([
    ["is refused", async () => answer({ error: "etcdserver: invalid auth token", code: 16 }, 401)],
    ["is older than the rights", async () => answer({ error: "auth: revision in header is old", code: 3 }, 400)],
    [
      "makes the server cut the connection",
      async () => {
        throw cutConnection();
      },
    ],
    [
      "makes the server cut the connection, as the global fetch tells it",
      async () => {
        throw new TypeError("fetch failed", {
          cause: Object.assign(new Error("other side closed"), { code: "UND_ERR_SOCKET" }),
        });
      },
    ],
  ])("is done anew when a token %s", async (_, refuse: () => Promise<EtcdResponse>) => {
    let logins = 0;
    const fetch: EtcdFetch = async (url, { headers }) => {
      if (url.endsWith("authenticate")) {
        logins += 1;
        return answer({ header: HEADER, token: `t.${logins}` });
      }
      return headers.authorization === "t.1" ? refuse() : answer(EMPTY_LINE);
    };
    const lock = etcd("http://one", { fetch, ...credentials });

    const extended = await Promise.all([1, 2, 3].map(() => lock.extend(LEASE)));

    expect(extended).toEqual([false, false, false]);
    expect(logins).toBe(2);
  });

  it("at a silent member holds nobody up where another answers", async () => {
    const clock = new ManualClock();
    const fetch: EtcdFetch = async (url) => {
      if (url.startsWith("http://one")) return silence();
      return answer(url.endsWith("authenticate") ? { header: HEADER, token: "t.1" } : EMPTY_LINE);
    };
    const extending = etcd(["http://one", "http://two"], { clock, fetch, callTimeoutMs: 900, ...credentials }).extend(LEASE);

    await clock.advance(450);

    expect(await extending).toBe(false);
  });

  it("L4 whatever a client says of a failure, name and token and password are not repeated", async () => {
    const fetch: EtcdFetch = async (url, { body, headers }) => {
      if (url.endsWith("authenticate")) return answer({ header: HEADER, token: "t0ken.1" });
      const login = JSON.stringify({ name: credentials.username, password: credentials.password });
      throw new Error(`could not send ${body} with ${headers.authorization} after ${login} of ${credentials.password}`);
    };

    const error = await etcd("http://one", { fetch, ...credentials })
      .acquire("order:1", WISH)
      .catch((thrown) => thrown);

    expect(error.details.nodes[0].cause).toContain("could not send");
    expect(inspect(error, { depth: 20, showHidden: true })).not.toMatch(/pa55|t0ken/);
  });
});

/** What each of the calls throws. */
function failuresOf(lock: LockBackend) {
  const calls = [
    lock.acquire("order:1", WISH),
    lock.extend(LEASE),
    lock.extendMany?.([LEASE]),
    lock.release(LEASE),
    lock.watch?.({ key: "order:1", owner: "a", mode: "exclusive" }, () => {}),
  ];
  return Promise.all(calls.map((call) => call?.then(() => "no failure").catch((error) => error)));
}

function answer(message: object, status = 200): EtcdResponse {
  return { ok: status === 200, status, text: async () => JSON.stringify(message), body: null };
}

function refusedConnection(): Error {
  return Object.assign(new Error("connect ECONNREFUSED 127.0.0.1:1"), { code: "ECONNREFUSED" });
}
