import { randomBytes } from "node:crypto";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { connect } from "amqplib";
import { freePort } from "./free-port.ts";
import type { Command, Place, Service, StartedServer } from "./service.ts";

/** One Erlang node, known by name and port before it starts. */
export interface RabbitmqNode {
  /** Common to the nodes of one cluster, and to nobody else. */
  readonly tag: string;
  /** Where other nodes and rabbitmqctl call it. */
  readonly distributionPort: number;
  /** Where nodes call the rabbitmqctl that works on this one, since each of a cluster sends it its part of an answer. */
  readonly controlPort: number;
}

/**
 * What every RabbitMQ of the tests is started with, in a container too. A dead letter that was not confirmed, since the broker was
 * killed meanwhile, is published again after two seconds and not after three minutes.
 */
export const RABBITMQ_ERLANG_ARGUMENTS = "-rabbit dead_letter_worker_publisher_confirm_timeout 2000";

/** Alarms stay silent on a machine that is short of memory or disk: they would stop every publisher. */
const SETTINGS = [
  "loopback_users = none",
  "vm_memory_high_watermark.absolute = 512MB",
  "disk_free_limit.absolute = 1MB",
  "log.console = true",
  "log.console.level = warning",
];

/**
 * In the place of epmd, the daemon by which Erlang nodes find each other: it would listen on a port that all share, and outlive them.
 * Here the name of a node ends with the port of its rabbitmqctl and its own; rabbitmqctl takes a name that ends like its node's.
 */
const PORT_BY_NAME = `
-module(exclaim_epmd).
-export([start_link/0, register_node/2, register_node/3, port_please/2, port_please/3, address_please/3, names/0, names/1]).

start_link() -> ignore.

register_node(Name, Port) -> register_node(Name, Port, inet).
register_node(_Name, _Port, _Family) -> {ok, erlang:unique_integer([positive]) band 16#ffff + os:system_time(second) band 16#ffff + 4}.

port_please(Name, Host) -> port_please(Name, Host, infinity).
port_please(Name, _Host, _Timeout) when is_atom(Name) -> port_please(atom_to_list(Name), localhost, infinity);
port_please(Name, _Host, _Timeout) ->
    try {port, list_to_integer(port_of(Name, lists:reverse(string:split(Name, "-", all)))), 5} catch error:_ -> noport end.

port_of("rabbitmqcli" ++ _, [_Own, Control | _]) -> Control;
port_of(_Name, [Own | _]) -> Own.

address_please(_Name, Host, Family) -> inet:getaddr(Host, Family).

names() -> {ok, []}.
names(_Host) -> {ok, []}.
`;

/** For every Erlang that runs here: it starts no epmd, and listens on 127.0.0.1 alone. */
const ERLANG_FLAGS = "-start_epmd false -epmd_module exclaim_epmd -kernel inet_dist_use_interface {127,0,0,1}";

/** The nodes of one cluster, at least one. */
export async function rabbitmqNodes(count: number): Promise<[RabbitmqNode, ...RabbitmqNode[]]> {
  const tag = randomBytes(6).toString("hex");
  const node = async () => ({ tag, distributionPort: await freePort(), controlPort: await freePort() });
  const nodes: [RabbitmqNode, ...RabbitmqNode[]] = [await node()];
  while (nodes.length < count) nodes.push(await node());
  return nodes;
}

/** The parts of a service that depend on the node. With `first`, its first start joins that node, which runs. */
export function rabbitmqNodeService(node: RabbitmqNode, first = node): Pick<Service, "prepare" | "start" | "probe"> {
  return {
    prepare: ({ folder }) => {
      writeFileSync(join(folder, "exclaim_epmd.erl"), PORT_BY_NAME);
      return [{ file: "erlc", args: ["-o", folder, join(folder, "exclaim_epmd.erl")] }];
    },
    start: (place, port) => serverCommand(place, port, node, first),
    probe: (url, started) => probeRabbitmq(url, started, node.tag),
  };
}

/** rabbitmqctl for the node that runs in `place`: one at a time. */
export function rabbitmqctlCommand({ binaryFolder, folder }: Place, node: RabbitmqNode, args: readonly string[]): Command {
  return {
    file: join(binaryFolder, "rabbitmqctl"),
    args: ["--quiet", "--node", nodeName(node), ...args],
    env: {
      ...erlangEnvironment(folder),
      // Its own name is made of this one.
      RABBITMQ_NODENAME: nodeName(node),
      RABBITMQ_CTL_DIST_PORT_MIN: String(node.controlPort),
      RABBITMQ_CTL_DIST_PORT_MAX: String(node.controlPort),
    },
  };
}

/** In the foreground: the process is Erlang's own, and what it has started ends with it. */
function serverCommand({ binaryFolder, folder }: Place, port: number, node: RabbitmqNode, first: RabbitmqNode): Command {
  const peers = [first, node].map((peer, index) => `cluster_formation.classic_config.nodes.${index + 1} = ${nodeName(peer)}`);
  const discovery = first === node ? [] : ["cluster_formation.peer_discovery_backend = classic_config", ...peers];
  writeFileSync(join(folder, "rabbitmq.conf"), [...SETTINGS, ...discovery, ""].join("\n"));
  writeFileSync(join(folder, "enabled_plugins"), "[].\n");
  const cookie = join(folder, ".erlang.cookie");
  if (!existsSync(cookie)) writeFileSync(cookie, `exclaim${node.tag}`, { mode: 0o400 });
  return {
    file: join(binaryFolder, "rabbitmq-server"),
    args: [],
    env: {
      ...erlangEnvironment(folder),
      // Otherwise the script stays, as a parent that takes nothing with it when it is killed.
      RUNNING_UNDER_SYSTEMD: "true",
      RABBITMQ_NODENAME: nodeName(node),
      RABBITMQ_NODE_IP_ADDRESS: "127.0.0.1",
      RABBITMQ_NODE_PORT: String(port),
      RABBITMQ_DIST_PORT: String(node.distributionPort),
      RABBITMQ_MNESIA_BASE: join(folder, "data"),
      RABBITMQ_GENERATED_CONFIG_DIR: join(folder, "generated"),
      RABBITMQ_LOG_BASE: folder,
      RABBITMQ_LOGS: "-",
      RABBITMQ_CONFIG_FILE: join(folder, "rabbitmq"),
      RABBITMQ_ADVANCED_CONFIG_FILE: join(folder, "none.config"),
      RABBITMQ_CONFIG_FILES: join(folder, "none.d"),
      RABBITMQ_ENABLED_PLUGINS_FILE: join(folder, "enabled_plugins"),
      // Of its own port RabbitMQ asks Erlang's client of epmd, whatever stands in its place; told a port, that asks nobody.
      RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: `+S 2:2 -erl_epmd_port ${node.distributionPort} ${RABBITMQ_ERLANG_ARGUMENTS}`,
    },
  };
}

function erlangEnvironment(folder: string): Record<string, string> {
  return {
    HOME: folder,
    RABBITMQ_CONF_ENV_FILE: join(folder, "none"),
    ERL_ZFLAGS: `${ERLANG_FLAGS} -pa ${folder}`,
  };
}

function nodeName({ tag, controlPort, distributionPort }: RabbitmqNode): string {
  return `exclaim-${tag}-${controlPort}-${distributionPort}@localhost`;
}

/** Unless it is told another, a node names its cluster after itself or after the node that it joined. */
async function probeRabbitmq(url: string, started: StartedServer | undefined, tag: string): Promise<void> {
  const model = await connect(url, { timeout: 2_000 });
  model.on("error", () => {});
  try {
    const { cluster_name: clusterName } = model.connection.serverProperties as { cluster_name?: unknown };
    if (started !== undefined && !String(clusterName).startsWith(`exclaim-${tag}-`)) {
      throw new Error("another RabbitMQ answers on this port");
    }
  } finally {
    await model.close().catch(() => {});
  }
}
