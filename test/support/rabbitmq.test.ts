import { randomUUID } from "node:crypto";
import { type ChannelModel, type ConfirmChannel, connect } from "amqplib";
import { afterAll, afterEach, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { startCutProxy } from "./cut-proxy.ts";
import { eventually } from "./eventually.ts";
import { freezeTree, isRunning, thawTree } from "./process-tree.ts";
import { type RabbitmqServer, rabbitmqUrl, startRabbitmq, startRabbitmqCluster } from "./rabbitmq.ts";
import { rabbitmqNodeService, rabbitmqNodes } from "./rabbitmq-server.ts";
import { rabbitmq } from "./services/rabbitmq.ts";

const opened: ChannelModel[] = [];

afterEach(async () => {
  await Promise.all(opened.splice(0).map((connection) => connection.close().catch(() => {})));
});

describe("the shared RabbitMQ", () => {
  it("carries a message", async () => {
    const queue = `q-${randomUUID()}`;
    const channel = await openChannel(rabbitmqUrl());
    await channel.assertQueue(queue, { exclusive: true });

    await confirmed(channel, queue, "hello");
    const message = await channel.get(queue, { noAck: true });

    expect(message === false ? "nothing" : message.content.toString()).toBe("hello");
  });
});

// Planted and seen to fail: the start script stays as the parent; Erlang listens on all interfaces; the probe takes any RabbitMQ.
describe("a RabbitMQ of our own", () => {
  let server: RabbitmqServer;
  let queue: string;

  beforeAll(async () => {
    server = await startRabbitmq();
  });

  afterAll(() => server.stop());

  it("is not taken for another", async () => {
    const [stranger] = await rabbitmqNodes(1);

    const asStranger = rabbitmqNodeService(stranger).probe(server.url, { pid: server.pid, folder: "" });
    const unasked = rabbitmq.probe(server.url);

    await expect(asStranger).rejects.toThrow("another RabbitMQ answers on this port");
    await expect(unasked).resolves.toBeUndefined();
  });

  it("listens on 127.0.0.1 alone, and starts no epmd", async () => {
    const listeners = await server.rabbitmqctl(
      "eval",
      '[inet:sockname(P) || P <- erlang:ports(), {name, "tcp_inet"} == erlang:port_info(P, name)].',
    );
    const epmd = await server.rabbitmqctl("eval", "whereis(erl_epmd).");

    const addresses = [...listeners.matchAll(/\{(\d+,\d+,\d+,\d+)\}/g)].map((match) => match[1]);
    expect(new Set(addresses)).toEqual(new Set(["127,0,0,1"]));
    expect(epmd.trim()).toBe("undefined");
  });

  it("leaves no process after SIGKILL, and keeps confirmed messages through it and restart", async () => {
    const channel = await openQueue();
    const firstPid = server.pid;
    await confirmed(channel, queue, "before");
    // A confirm speaks of the message; that the queue was declared, RabbitMQ writes a little later.
    await server.rabbitmqctl("eval", "mnesia:sync_log().");
    const tree = treeOf(firstPid);

    await server.kill();
    await eventually(() => !tree.some(isRunning), { what: "the end of all it had started" });
    const refused = await connect(server.url).catch((error: Error) => error);
    await server.restart();
    const message = await (await openChannel(server.url)).get(queue, { noAck: true });

    expect(refused).toMatchObject({ code: "ECONNREFUSED" });
    expect(tree.length).toBeGreaterThan(1);
    expect(server.pid).not.toBe(firstPid);
    expect(message === false ? "nothing" : message.content.toString()).toBe("before");
  });

  it("confirms nothing while it hangs, and goes on where it was", async () => {
    const channel = await openQueue();

    server.hang();
    const whileHung = confirmed(channel, queue, "hung").then(() => "confirmed");
    const firstToHappen = await Promise.race([whileHung, new Promise((resolve) => setTimeout(resolve, 300, "silence"))]);
    server.resume();

    expect(firstToHappen).toBe("silence");
    await expect(whileHung).resolves.toBe("confirmed");
  });

  it("closes all connections when told to, with the reason", async () => {
    const [first, second] = [await openConnection(server.url), await openConnection(server.url)];
    const closed = Promise.all([closeOf(first), closeOf(second)]);

    await server.closeConnections("maintenance");

    const reasons = (await closed).map(String);
    expect(reasons.every((reason) => /CONNECTION_FORCED.*maintenance/.test(reason))).toBe(true);
    await expect(openChannel(server.url)).resolves.toBeDefined();
  });

  it("can be cut off, hung and healed by a proxy, which keeps account and virtual host", async () => {
    const proxy = await startCutProxy(`${server.url.replace("amqp://", "amqp://guest:guest@")}/%2f?heartbeat=30`);
    onTestFinished(() => proxy.close());
    await openQueue();
    const connection = await openConnection(proxy.url);
    const channel = await connection.createConfirmChannel();

    proxy.hang();
    const whileHung = confirmed(channel, queue, "hung").then(() => "confirmed");
    const firstToHappen = await Promise.race([whileHung, new Promise((resolve) => setTimeout(resolve, 300, "silence"))]);
    proxy.heal();
    const afterHang = await whileHung;
    const closed = closeOf(connection);
    proxy.cut();
    await closed;
    const refused = await connect(proxy.url).catch((error: Error) => error);
    proxy.heal();
    const { messageCount } = await (await openChannel(proxy.url)).checkQueue(queue);

    expect(new URL(proxy.url)).toMatchObject({
      username: "guest",
      password: "guest",
      pathname: "/%2f",
      search: "?heartbeat=30",
    });
    expect([firstToHappen, afterHang, messageCount]).toEqual(["silence", "confirmed", 1]);
    expect(refused).toBeInstanceOf(Error);
  });

  // The last one: a second start would take longer than all that is tested.
  it("leaves no process after stop, and can be stopped twice", async () => {
    const tree = treeOf(server.pid);

    await server.stop();

    expect(tree.length).toBeGreaterThan(1);
    await eventually(() => !tree.some(isRunning), { what: "the end of all it had started" });
    await server.stop();
  });

  async function openQueue(): Promise<ConfirmChannel> {
    queue = `q-${randomUUID()}`;
    const channel = await openChannel(server.url);
    await channel.assertQueue(queue, { durable: true });
    return channel;
  }
});

describe("a RabbitMQ cluster of our own", () => {
  it("has a quorum queue with a member on each node, which survives the kill of any", async () => {
    const nodes = await startRabbitmqCluster(3);
    onTestFinished(() => Promise.all(nodes.map((node) => node.stop())).then(() => {}));
    const [first, second] = nodes as [RabbitmqServer, RabbitmqServer];
    const channel = await openChannel(first.url);
    await channel.assertQueue("vouchers", { durable: true, arguments: { "x-queue-type": "quorum" } });
    await confirmed(channel, "vouchers", "before");

    const members = await second.rabbitmqctl("--silent", "list_queues", "name", "members");
    await first.kill();
    const survivor = await openConnection(second.url);
    // Until the other two have chosen a leader, messages are refused; a channel that saw it may go on refusing.
    await eventually(async () => confirmed(await survivor.createConfirmChannel(), "vouchers", "meanwhile"));
    await first.restart();
    const contents = await eventually(() => messagesIn(first.url), { timeoutMs: 30_000 });

    expect(members.match(/@localhost/g)).toHaveLength(3);
    expect(contents).toEqual(["before", "meanwhile"]);
  }, 120_000);
});

/** The process and all that it has started. */
function treeOf(pid: number): readonly number[] {
  const tree = freezeTree(pid);
  thawTree(pid);
  return tree;
}

/** Refused, a message may be in the queue all the same, and come twice. */
async function messagesIn(url: string): Promise<string[]> {
  const connection = await openConnection(url);
  const channel = await connection.createChannel();
  const contents: string[] = [];
  for (let message = await channel.get("vouchers"); message !== false; message = await channel.get("vouchers")) {
    contents.push(message.content.toString());
  }
  await connection.close();
  expect(contents).toContain("meanwhile");
  return [...new Set(contents)];
}

async function openConnection(url: string): Promise<ChannelModel> {
  const connection = await connect(url);
  connection.on("error", () => {});
  opened.push(connection);
  return connection;
}

/** Not `once` of node:events, which fails when an error comes first: a cut is one. */
function closeOf(connection: ChannelModel): Promise<unknown> {
  return new Promise((resolve) => connection.once("close", resolve));
}

async function openChannel(url: string): Promise<ConfirmChannel> {
  const channel = await (await openConnection(url)).createConfirmChannel();
  channel.on("error", () => {});
  return channel;
}

function confirmed(channel: ConfirmChannel, queue: string, content: string): Promise<void> {
  return new Promise((resolve, reject) => {
    channel.sendToQueue(queue, Buffer.from(content), { persistent: true }, (error) => (error ? reject(error) : resolve()));
  });
}
