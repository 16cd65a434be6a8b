import type { CutProxy } from "../../support/cut-proxy.ts";
import { eventually } from "../../support/eventually.ts";
import type { ServerFault } from "../fault.ts";
import { firstAnswer } from "./first-answer.ts";
import { processFaults, SHORT, type Target } from "./process-faults.ts";

/** Of etcd and ZooKeeper, which cannot be told to end a client's connection: the proxy in front of them does. */
export function proxiedFaults(target: Target, product: string, proxy: CutProxy): ServerFault[] {
  const { hostname: host, port } = new URL(proxy.url);
  const answer = () => firstAnswer({ host, port: Number(port) }, target.greeting);
  return [
    ...processFaults(target, product),
    {
      kind: `${product} cut off`,
      target: target.name,
      breaksExclusion: false,
      lastsMs: SHORT,
      inject: async () => proxy.cut(),
      hasHit: async () => (await answer()) === "cut",
      heal: async () => {
        proxy.heal();
        await eventually(async () => (await answer()) === "answered", { what: `an answer of ${target.name} that was cut off` });
      },
    },
  ];
}
