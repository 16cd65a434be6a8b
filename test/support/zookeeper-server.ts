import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Command, Place } from "./service.ts";

/**
 * Settings of every ZooKeeper the tests start. Sessions may last from one second, so that tests see them end, to two minutes, so that
 * long leases find sessions long enough.
 */
export const ZOOKEEPER_SETTINGS = {
  tickTime: 200,
  minSessionTimeout: 1_000,
  maxSessionTimeout: 120_000,
  initLimit: 100,
  syncLimit: 15,
  maxClientCnxns: 0,
  "admin.enableServer": "false",
  "4lw.commands.whitelist": "srvr,conf",
} as const;

/**
 * A small heap and a quick start. Debian's package comes without a logger: Debian's other package has one, and where there is none the
 * paths are ignored.
 * forceSync=no is for tests only: it gives up what was committed when the operating system dies, and nothing when a process is killed.
 */
const JVM_FLAGS = [
  ...["-Xms16m", "-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"],
  "-Xbootclasspath/a:/usr/share/java/slf4j-api.jar:/usr/share/java/slf4j-simple.jar",
  "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
  "-Dzookeeper.forceSync=no",
];

/** What the servers of an ensemble know of one another. */
export interface ZookeeperMember {
  readonly quorumPort: number;
  readonly electionPort: number;
}

/** A server by itself, or the one at `index` of an ensemble. The script of the distribution knows the class path, and becomes the server. */
export function zookeeperCommand(
  { binaryFolder, folder }: Place,
  port: number,
  members: readonly ZookeeperMember[] = [],
  index = 0,
): Command {
  const data = join(folder, "data");
  const settings = {
    ...ZOOKEEPER_SETTINGS,
    clientPort: port,
    clientPortAddress: "127.0.0.1",
    dataDir: data,
    ...Object.fromEntries(
      members.map(({ quorumPort, electionPort }, at) => [`server.${at + 1}`, `127.0.0.1:${quorumPort}:${electionPort}`]),
    ),
  };
  const lines = Object.entries(settings).map(([name, value]) => `${name}=${value}\n`);
  mkdirSync(data, { recursive: true });
  writeFileSync(join(folder, "zoo.cfg"), lines.join(""));
  if (members.length > 0) {
    writeFileSync(join(data, "myid"), String(index + 1));
  }
  return {
    file: join(binaryFolder, "zkServer.sh"),
    args: ["start-foreground", join(folder, "zoo.cfg")],
    env: {
      JVMFLAGS: JVM_FLAGS.join(" "),
      JMXDISABLE: "true",
      ZOO_LOG_DIR: folder,
    },
  };
}
