import { basename, join } from "node:path";
import type { Command, Place, StartedServer } from "./service.ts";

/** One of a cluster, known to the others before it starts. */
export interface EtcdMember {
  readonly name: string;
  readonly peerUrl: string;
  /** `name=peerUrl` of all members, parted by commas. */
  readonly cluster: string;
}

interface MemberList {
  readonly header: { readonly member_id: string };
  readonly members: readonly { readonly ID: string; readonly name: string }[];
}

/** An etcd in the foreground: that member of a cluster, or one by itself that is named after its folder. */
export function etcdCommand({ binaryFolder, folder }: Place, port: number, member = alone(folder)): Command {
  const url = `http://127.0.0.1:${port}`;
  return {
    file: join(binaryFolder, "etcd"),
    args: [
      ...["--name", member.name, "--data-dir", join(folder, "data")],
      ...["--listen-client-urls", url, "--advertise-client-urls", url],
      ...["--listen-peer-urls", member.peerUrl, "--initial-advertise-peer-urls", member.peerUrl],
      ...["--initial-cluster", member.cluster],
      ...["--logger", "zap", "--log-level", "warn"],
    ],
    env: process.arch.startsWith("arm") ? { ETCD_UNSUPPORTED_ARCH: process.arch } : {},
  };
}

/** Resolves once the etcd at the URL is, as far as it knows, part of a majority; with `started` it must also have that name. */
export async function probeEtcd(url: string, started?: StartedServer, name = basename(started?.folder ?? "")): Promise<void> {
  const { health } = (await ask(url, "/health")) as { health?: unknown };
  if (String(health) !== "true") {
    throw new Error("it has no leader");
  }
  if (started === undefined) {
    return;
  }
  const { header, members } = (await ask(url, "/v3/cluster/member/list", "{}")) as MemberList;
  if (members.find(({ ID }) => ID === header.member_id)?.name !== name) {
    throw new Error("another etcd answers on this port");
  }
}

/** Nobody calls it by its peer URL, so any port that is free will do. */
function alone(folder: string): EtcdMember {
  const member = { name: basename(folder), peerUrl: "http://127.0.0.1:0" };
  return { ...member, cluster: `${member.name}=${member.peerUrl}` };
}

/** A POST where there is a body. */
async function ask(url: string, path: string, body?: string): Promise<unknown> {
  const request = { signal: AbortSignal.timeout(2_000), ...(body === undefined ? {} : { method: "POST", body }) };
  return (await fetch(new URL(path, url), request)).json();
}
