import { targetConformance } from "../conformance/target-conformance.ts";
import { bullmqBeds } from "./bullmq-beds.ts";

for (const [name, open] of bullmqBeds) targetConformance(name, open);
