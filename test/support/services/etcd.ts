import { etcdCommand, probeEtcd } from "../etcd-server.ts";
import type { Service } from "../service.ts";

/** One etcd 3.4 or later, at ETCD_URL or started. */
export const etcd: Service = {
  name: "etcd",
  title: "etcd",
  variable: "ETCD_URL",
  count: 1,
  container: {
    image: "quay.io/coreos/etcd:v3.5.16",
    port: 2379,
    command: [
      "etcd",
      "--data-dir=/etcd-data",
      "--listen-client-urls=http://0.0.0.0:2379",
      "--advertise-client-urls=http://0.0.0.0:2379",
    ],
    tmpfs: ["/etcd-data"],
  },
  binaries: ["etcd"],
  folders: ["/opt/homebrew/bin", "/usr/local/opt/etcd/bin"],
  debianPackage: "etcd-server",
  refusesRoot: false,
  // On SIGTERM a leader first looks for a successor.
  endSignal: "SIGKILL",
  start: (place, port) => etcdCommand(place, port),
  url: (host, port) => `http://${host}:${port}`,
  probe: (url, started) => probeEtcd(url, started),
};
