import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { cut, Relay } from "./relay.ts";

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

  it("is closed without an error when it is cut while its end is under way", async () => {
    const [accepted] = (await Promise.all([once(server, "connection"), connectedTo(server)]))[0] as [Socket];
    const errors: unknown[] = [];
    accepted.on("error", (error) => errors.push(error));

    accepted.end("last words");
    cut({ client: accepted, server: accepted });
    await closedOf(accepted);

    expect(errors).toEqual([]);
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
    const hit = new Promise<void>((lost) => relay.loseAnswer("one", lost));

    client.write("one");
    await Promise.all([hit, closed]);

    expect(received).toEqual(["one"]);
    expect(heard).toEqual([]);
  });

  it("loses no answer but the one to what was meant", async () => {
    let hits = 0;
    relay.loseAnswer("two", () => {
      hits += 1;
    });

    client.write("one");
    const [bytes] = await once(client, "data");

    expect([String(bytes), hits]).toEqual(["answer to one", 0]);
  });

  it.each([
    ["taken back", (takeBack: () => void) => takeBack()],
    ["calmed", () => relay.calm()],
  ])("loses no answer once that is %s", async (_, spare) => {
    let hits = 0;
    const takeBack = relay.loseAnswer("one", () => {
      hits += 1;
    });

    spare(takeBack);
    client.write("one");
    const [bytes] = await once(client, "data");

    expect([String(bytes), hits]).toEqual(["answer to one", 0]);
  });
});

async function connectedTo(listener: Server): Promise<void> {
  const socket = connect((listener.address() as AddressInfo).port, "127.0.0.1").resume();
  socket.on("error", () => {});
  await once(socket, "connect");
}

/** Resolves however the connection ends. */
function closedOf(socket: Socket): Promise<void> {
  return new Promise((resolve) => socket.once("close", () => resolve()));
}
