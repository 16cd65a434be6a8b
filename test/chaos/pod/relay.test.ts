import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Relay } from "./relay.ts";

const server = createServer((socket) => socket.on("error", () => {}).on("data", (bytes) => answer(socket, bytes)));
let received: string[] = [];
let relay: Relay;
let client: Socket;

function answer(socket: Socket, bytes: Buffer): void {
  received.push(bytes.toString());
  socket.write(`answer to ${bytes}`);
}

beforeEach(async () => {
  received = [];
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const opened = await Relay.open(`tcp://127.0.0.1:${(server.address() as AddressInfo).port}`);
  relay = opened.relay;
  client = connect(Number(new URL(opened.url).port), "127.0.0.1");
  client.on("error", () => {});
  await once(client, "connect");
});

afterEach(async () => {
  relay.close();
  client.destroy();
  server.close();
  await once(server, "close");
});

describe("a relay between a process and a server", () => {
  it("carries what is sent and what is answered", async () => {
    client.write("one");

    const [bytes] = await once(client, "data");

    expect(String(bytes)).toBe("answer to one");
  });

  it("says that a connection was dropped once it is closed", async () => {
    client.write("one");
    await once(client, "data");
    const closed = closedOf(client);

    await new Promise<void>((hit) => relay.drop(hit));

    await closed;
    expect(client.destroyed).toBe(true);
  });

  it("says nothing where there was no connection to drop", async () => {
    client.destroy();
    relay.close();
    let hits = 0;

    relay.drop(() => {
      hits += 1;
    });

    expect(hits).toBe(0);
  });

  it("lets what was sent reach the server, and loses the answer with the connection", async () => {
    const heard: unknown[] = [];
    client.on("data", (bytes) => heard.push(bytes));
    const closed = closedOf(client);
    const hit = new Promise<void>((lost) => relay.loseAnswer(lost));

    client.write("one");
    await Promise.all([hit, closed]);

    expect(received).toEqual(["one"]);
    expect(heard).toEqual([]);
  });
});

/** Resolves however the connection ends. */
function closedOf(socket: Socket): Promise<void> {
  return new Promise((resolve) => socket.once("close", () => resolve()));
}
