import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { startPrivateServer } from "./ladder.ts";
import { type RabbitmqNode, rabbitmqctlCommand, rabbitmqNodeService, rabbitmqNodes } from "./rabbitmq-server.ts";
import type { ServerProcess } from "./server-process.ts";
import type { Command, Place, Service } from "./service.ts";
import { rabbitmq } from "./services/rabbitmq.ts";
import { sharedUrl } from "./shared-urls.ts";

const CONTROL_LIMIT_MS = 60_000;

/** A RabbitMQ that is ours alone. */
export interface RabbitmqServer extends ServerProcess {
  /** Runs rabbitmqctl against this node, one call after another. Resolves with what it printed, without its remarks. Throws with its error output. */
  rabbitmqctl(...args: string[]): Promise<string>;
  /** Lets the node close every client's connection with the reason, as an operator would. Resolves once it has told them all. */
  closeConnections(reason?: string): Promise<void>;
}

/** The RabbitMQ that all tests of this run share: use names of your own for queues and exchanges, and delete them. */
export function rabbitmqUrl(): string {
  return sharedUrl(rabbitmq);
}

/** Starts a RabbitMQ of our own, on `port` or a free one. Killed and started again, it has its durable queues and messages. */
export async function startRabbitmq(options: { port?: number } = {}): Promise<RabbitmqServer> {
  const [node] = await rabbitmqNodes(1);
  return startNode(node, node, options);
}

/**
 * Starts a cluster of our own, all or none. Resolves once every node knows that all of them run, so that a quorum queue has a member on
 * each. A node that is started again waits for a node that ran longer than it: after a kill of all, start them again at once.
 */
export async function startRabbitmqCluster(count = 3): Promise<RabbitmqServer[]> {
  const [first, ...others] = await rabbitmqNodes(count);
  const servers = [await startNode(first, first)];
  try {
    // One after another: those that join at once wait for each other in ever longer steps.
    for (const node of others) servers.push(await startNode(node, first));
    await Promise.all(servers.map((server) => server.rabbitmqctl("await_online_nodes", String(count))));
  } catch (error) {
    await Promise.all(servers.map((server) => server.stop()));
    throw error;
  }
  return servers;
}

async function startNode(node: RabbitmqNode, first: RabbitmqNode, options: { port?: number } = {}): Promise<RabbitmqServer> {
  const parts = rabbitmqNodeService(node, first);
  let place: Place = { binaryFolder: "", folder: "" };
  const service: Service = {
    ...rabbitmq,
    ...parts,
    start: (at, port) => {
      place = at;
      return parts.start(at, port);
    },
  };
  const server = await startPrivateServer(service, options);
  let last: Promise<unknown> = Promise.resolve();
  const rabbitmqctl = (...args: string[]): Promise<string> => {
    const output = last.then(() => run(rabbitmqctlCommand(place, node, args)));
    last = output.catch(() => {});
    return output;
  };
  return Object.assign(server, {
    rabbitmqctl,
    closeConnections: async (reason = "closed by the test"): Promise<void> => {
      await rabbitmqctl("close_all_connections", reason);
    },
  });
}

async function run({ file, args, env }: Command): Promise<string> {
  const { stdout } = await promisify(execFile)(file, args, {
    env: { PATH: process.env.PATH, LC_ALL: "C.UTF-8", ...env },
    timeout: CONTROL_LIMIT_MS,
  });
  return stdout;
}
