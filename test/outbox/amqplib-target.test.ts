import { targetConformance } from "../conformance/target-conformance.ts";
import { amqplibBeds } from "./amqplib-beds.ts";

for (const [name, open] of amqplibBeds) targetConformance(name, open);
