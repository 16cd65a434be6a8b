import { queueConformance } from "../conformance/queue-conformance.ts";
import { rabbitmqQueues } from "./amqplib-setups.ts";

for (const setup of rabbitmqQueues) queueConformance(setup);
