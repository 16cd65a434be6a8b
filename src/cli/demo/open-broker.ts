import type { Broker, BrokerSettings } from "./broker.ts";
import { bullmqBroker } from "./brokers/bullmq.ts";
import { rabbitmqBroker } from "./brokers/rabbitmq.ts";

/** The broker that the settings name. Nothing is connected before it is used. */
export function openBroker(settings: BrokerSettings): Broker {
  return settings.kind === "rabbitmq" ? rabbitmqBroker(settings.url) : bullmqBroker(settings);
}
