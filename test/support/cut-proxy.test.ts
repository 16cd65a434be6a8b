import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type CutProxy, startCutProxy } from "./cut-proxy.ts";
import { eventually } from "./eventually.ts";

/** A server that answers each message as PostgreSQL ends an answer, and keeps what it was sent. */
let server: Server;
let proxy: CutProxy;
let received: string;
const clients: Client[] = [];

interface Client {
  readonly socket: Socket;
  received: string;
}

const ANSWER = "Z\0\0\0\x05I";

beforeEach(async () => {
  received = "";
  server = createServer((socket) => {
    socket.on("error", () => {});
    socket.on("data", (bytes) => {
      received += bytes.toString("latin1");
      socket.write(`answer ${ANSWER}`, "latin1");
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  proxy = await startCutProxy(`postgres://user@127.0.0.1:${(server.address() as { port: number }).port}/db?a=b`);
});

afterEach(async () => {
  for (const client of clients.splice(0)) client.socket.destroy();
  await proxy.close();
  await new Promise((resolve) => server.close(resolve));
});

describe("a cut proxy", () => {
  it("has the server's URL but for host and port, and carries both directions", async () => {
    const client = await open();

    client.socket.write("hello");
    await eventually(() => expect(client.received).toBe(`answer ${ANSWER}`));

    const url = new URL(proxy.url);
    expect([url.protocol, url.username, url.hostname, url.pathname, url.search]).toEqual([
      "postgres:",
      "user",
      "127.0.0.1",
      "/db",
      "?a=b",
    ]);
    expect(received).toBe("hello");
  });

  it("cuts what is open and refuses what comes, until it is healed", async () => {
    const before = await open();
    proxy.cut();
    await closed(before);
    const during = await open();
    await closed(during);
    proxy.heal();

    const after = await open();
    after.socket.write("hello");

    await eventually(() => expect(after.received).toBe(`answer ${ANSWER}`));
    expect([before.received, during.received]).toEqual(["", ""]);
  });

  it("carries nothing while it hangs, and what waited once it is healed", async () => {
    const [before, other] = [await open(), await open()];
    other.socket.write("known to be connected");
    await eventually(() => expect(other.received).not.toBe(""));
    proxy.hang();
    before.socket.write("held back");
    const during = await open();
    during.socket.write(" also");
    // A message through the server itself takes its way while the proxy carries none.
    const direct = connect((server.address() as { port: number }).port, "127.0.0.1");
    direct.write("direct");
    await eventually(() => expect(received).toContain("direct"));
    const heldBack = received;
    proxy.heal();

    await eventually(() => expect([before.received, during.received]).toEqual([`answer ${ANSWER}`, `answer ${ANSWER}`]));
    direct.destroy();
    expect(heldBack).toBe("known to be connecteddirect");
  });

  it("loses the answer to a message, also one that comes in pieces, and cuts that connection alone", async () => {
    const [client, other] = [await open(), await open()];
    const lost = proxy.loseAnswer("commit");

    client.socket.write("com");
    await eventually(() => expect(received).toBe("com"));
    client.socket.write("mit");
    await lost;
    await closed(client);
    other.socket.write("commit");

    await eventually(() => expect(other.received).toBe(`answer ${ANSWER}`));
    expect(client.received).toBe(`answer ${ANSWER}`);
    expect(received).toBe("commitcommit");
  });

  it("loses an answer silently when told so, and all that follow on that connection", async () => {
    const client = await open();
    const lost = proxy.loseAnswer("commit", { silently: true });

    client.socket.write("commit");
    await lost;
    client.socket.write("again");
    await eventually(() => expect(received).toBe("commitagain"));

    expect([client.received, client.socket.destroyed]).toEqual(["", false]);
  });

  it("cuts a connection before a message reaches the server, once", async () => {
    const client = await open();
    const cut = proxy.cutBefore("commit");

    client.socket.write("commit");
    await cut;
    await closed(client);
    const next = await open();
    next.socket.write("commit");
    await eventually(() => expect(next.received).toBe(`answer ${ANSWER}`));

    expect(received).toBe("commit");
  });
});

/** Not `once` of node:events, which fails when an error comes first: a cut is one. */
function closed(client: Client): Promise<void> {
  if (client.socket.closed) return Promise.resolve();
  return new Promise((resolve) => client.socket.once("close", () => resolve()));
}

async function open(): Promise<Client> {
  const socket = connect(Number(new URL(proxy.url).port), "127.0.0.1");
  const client: Client = { socket, received: "" };
  clients.push(client);
  socket.on("error", () => {});
  socket.on("data", (bytes) => {
    client.received += bytes.toString("latin1");
  });
  await Promise.race([new Promise((resolve) => socket.once("connect", resolve)), closed(client)]);
  return client;
}
