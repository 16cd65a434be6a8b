import { once } from "node:events";
import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { etcd } from "../../src/lock/etcd.ts";
import { httpFetch } from "../../src/lock/etcd-http.ts";
import { eventually } from "../support/eventually.ts";

const EMPTY_LINE = {
  header: { revision: "7", raft_term: "2" },
  succeeded: true,
  responses: [{ response_range: {} }, { response_range: {} }],
};

let server: Server | undefined;
afterEach(() => {
  server?.closeAllConnections();
  server?.close();
});

describe("etcd's connections", () => {
  it("are kept: one call after another goes over the same", async () => {
    const url = await serve((request, response) => request.resume().on("end", () => response.end(JSON.stringify(EMPTY_LINE))));
    const lock = etcd(url);
    let connections = 0;
    server?.on("connection", () => {
      connections += 1;
    });

    for (let calls = 0; calls < 20; calls += 1) await lock.extend({ key: "order:1", owner: "a", ttlMs: 60_000 });

    expect(connections).toBe(1);
  });

  it("are closed when a request is given up, before and in the middle of its answer", async () => {
    let requests = 0;
    const url = await serve((_, response) => {
      requests += 1;
      if (requests === 2) response.write("{");
    });
    const abort = new AbortController();
    const post = () => httpFetch()(url, { method: "POST", headers: {}, body: "{}", signal: abort.signal });
    const unanswered = post().catch((error: Error) => error.message);
    await eventually(() => requests === 1);
    const text = (await post()).text().catch((error: Error) => error.message);

    abort.abort();

    expect([await unanswered, await text]).toEqual(["aborted", "aborted"]);
    await eventually(async () => expect(await connectionsOf(server)).toBe(0));
    await expect(post()).rejects.toThrow();
    expect(requests).toBe(2);
  });
});

async function serve(listener: RequestListener): Promise<string> {
  server = createServer(listener).listen(0, "127.0.0.1");
  await once(server, "listening");
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function connectionsOf(of: Server | undefined): Promise<number> {
  return new Promise((resolve, reject) => of?.getConnections((error, count) => (error ? reject(error) : resolve(count))));
}
