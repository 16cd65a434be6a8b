import { connect } from "node:net";
import { join } from "node:path";
import type { Service } from "../service.ts";
import { ZOOKEEPER_SETTINGS, zookeeperCommand } from "../zookeeper-server.ts";

const { tickTime, minSessionTimeout, maxSessionTimeout } = ZOOKEEPER_SETTINGS;

/** One ZooKeeper, at ZOOKEEPER_URL or started. The server at the URL must allow sessions from one second to a minute and a half. */
export const zookeeper: Service = {
  name: "zookeeper",
  title: "ZooKeeper",
  variable: "ZOOKEEPER_URL",
  count: 1,
  container: {
    image: "zookeeper:3.9",
    port: 2181,
    env: {
      ZOO_TICK_TIME: String(tickTime),
      ZOO_MAX_CLIENT_CNXNS: "0",
      ZOO_ADMINSERVER_ENABLED: "false",
      ZOO_CFG_EXTRA: `minSessionTimeout=${minSessionTimeout} maxSessionTimeout=${maxSessionTimeout}`,
    },
    tmpfs: ["/data", "/datalog"],
  },
  binaries: ["zkServer.sh"],
  folders: [
    "/usr/share/zookeeper/bin",
    "/opt/zookeeper*/bin",
    "/opt/apache-zookeeper-*/bin",
    "/opt/homebrew/opt/zookeeper/libexec/bin",
  ],
  debianPackage: "zookeeper",
  refusesRoot: false,
  endSignal: "SIGKILL",
  start: (place, port) => zookeeperCommand(place, port),
  url: (host, port) => `zookeeper://${host}:${port}`,
  probe: async (url, started) => {
    const { hostname, port } = new URL(url);
    const status = await ask(hostname, Number(port), "srvr");
    if (!status.includes("\nMode: ")) {
      throw new Error("it does not serve requests");
    }
    if (started === undefined) {
      return;
    }
    const configuration = await ask(hostname, Number(port), "conf");
    if (!configuration.includes(`dataDir=${join(started.folder, "data")}`)) {
      throw new Error("another ZooKeeper answers on this port");
    }
  },
};

/** What a server answers to one of its four-letter commands. */
function ask(host: string, port: number, command: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let answer = "";
    const socket = connect({ host, port });
    // One that was called while the server started may never be answered.
    socket.setTimeout(1_000, () => socket.destroy(new Error("no answer within 1,000 ms")));
    socket.setEncoding("utf8");
    socket.on("error", reject);
    socket.on("connect", () => socket.write(command));
    socket.on("data", (text: string) => {
      answer += text;
    });
    socket.on("close", () => resolve(answer));
  });
}
