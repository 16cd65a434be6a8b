import { type EtcdMember, etcdCommand, probeEtcd } from "./etcd-server.ts";
import { freePort } from "./free-port.ts";
import { startPrivateServer } from "./ladder.ts";
import type { ServerProcess } from "./server-process.ts";
import type { Service } from "./service.ts";
import { etcd } from "./services/etcd.ts";

/** Starts an etcd of our own, on `port` or a free one. Killed and started again, it has its data. */
export function startEtcd(options: { port?: number } = {}): Promise<ServerProcess> {
  return startPrivateServer(etcd, options);
}

/** Starts a cluster of our own, all or none. A member that is started again answers once most of them run. */
export async function startEtcdCluster(count: number): Promise<ServerProcess[]> {
  const ports: number[] = [];
  while (ports.length < count) ports.push(await freePort());
  const peers = ports.map((port) => ({ name: `member-${port}`, peerUrl: `http://127.0.0.1:${port}` }));
  const cluster = peers.map(({ name, peerUrl }) => `${name}=${peerUrl}`).join(",");
  // All at once: none of them answers before most of them run.
  const results = await Promise.allSettled(peers.map((peer) => startPrivateServer(serviceOf({ ...peer, cluster }))));
  const members = results.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
  const failed = results.find((result) => result.status === "rejected");
  if (failed !== undefined) {
    await Promise.all(members.map((member) => member.stop()));
    throw failed.reason;
  }
  return members;
}

function serviceOf(member: EtcdMember): Service {
  return {
    ...etcd,
    name: `etcd-${member.name}`,
    start: (place, port) => etcdCommand(place, port, member),
    probe: (url, started) => probeEtcd(url, started, member.name),
  };
}
