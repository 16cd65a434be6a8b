import { freePort } from "./free-port.ts";
import { startPrivateServer } from "./ladder.ts";
import type { ServerProcess } from "./server-process.ts";
import type { Service } from "./service.ts";
import { zookeeper } from "./services/zookeeper.ts";
import { type ZookeeperMember, zookeeperCommand } from "./zookeeper-server.ts";

/** Starts a ZooKeeper of our own, on `port` or a free one. Killed and started again, it has its data. */
export function startZookeeper(options: { port?: number } = {}): Promise<ServerProcess> {
  return startPrivateServer(zookeeper, options);
}

/** Starts an ensemble of our own, all or none. */
export async function startZookeeperEnsemble(count: number): Promise<ServerProcess[]> {
  const members: ZookeeperMember[] = [];
  for (let index = 0; index < count; index += 1) {
    members.push({ quorumPort: await freePort(), electionPort: await freePort() });
  }
  // All at once: none of them answers before most of them run.
  const results = await Promise.allSettled(members.map((_, index) => startPrivateServer(memberOf(members, index))));
  const servers = results.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
  const failed = results.find((result) => result.status === "rejected");
  if (failed !== undefined) {
    await Promise.all(servers.map((server) => server.stop()));
    throw failed.reason;
  }
  return servers;
}

function memberOf(members: readonly ZookeeperMember[], index: number): Service {
  return {
    ...zookeeper,
    name: `zookeeper-${index + 1}-of-${members.length}`,
    start: (place, port) => zookeeperCommand(place, port, members, index),
  };
}
