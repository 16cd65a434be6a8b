import { queueConformance } from "../conformance/queue-conformance.ts";
import { bullmqQueues } from "./bullmq-setups.ts";

for (const setup of bullmqQueues) queueConformance(setup);
