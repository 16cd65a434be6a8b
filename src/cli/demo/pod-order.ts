import type { BrokerSettings } from "./broker.ts";
import type { Schemas, Variant } from "./variant.ts";

/** What a pod is told. */
export interface PodOrder {
  readonly variant: Variant;
  readonly databaseUrl: string;
  readonly schemas: Schemas;
  readonly broker: BrokerSettings;
  /** The Redis whose Redlock is the lock. Without one the locks are in the database. */
  readonly redisUrl: string | undefined;
  readonly queue: string;
  readonly concurrency: number;
}
