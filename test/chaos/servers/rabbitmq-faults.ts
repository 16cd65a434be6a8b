import { connect } from "amqplib";
import type { RabbitmqServer } from "../../support/rabbitmq.ts";
import type { ServerFault } from "../fault.ts";
import { ended, hung, SHORT, type Target } from "./process-faults.ts";

const LIMIT_MS = 2_000;

export function rabbitmqFaults(target: Target & { readonly server: RabbitmqServer }): ServerFault[] {
  return [
    ended(target, "rabbitmq killed and restarted", "kill"),
    hung(target, "rabbitmq hung shortly", SHORT),
    connectionsClosed(target),
  ];
}

/** Seen by a client of our own, which is told as all the others are. */
function connectionsClosed({ name, server }: { name: string; server: RabbitmqServer }): ServerFault {
  let isClosed = false;
  let leave = async (): Promise<void> => {};
  return {
    kind: "rabbitmq closed all connections",
    target: name,
    breaksExclusion: false,
    lastsMs: [100, 400],
    inject: async () => {
      const witness = await connect(server.url, { timeout: LIMIT_MS });
      witness.on("error", () => {});
      witness.on("close", () => {
        isClosed = true;
      });
      leave = () => witness.close().catch(() => {});
      await server.closeConnections("closed by the nemesis");
    },
    hasHit: async () => isClosed,
    heal: async () => {
      await leave();
      isClosed = false;
    },
  };
}
