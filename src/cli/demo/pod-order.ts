import type { BrokerSettings } from "./broker.ts";
import type { Schemas, Variant } from "./variant.ts";

/** What a pod is told. */
export interface PodOrder {
  readonly variant: Variant;
  readonly databaseUrl: string;
  readonly schemas: Schemas;
  readonly broker: BrokerSettings;
  readonly queue: string;
  readonly concurrency: number;
}
