/** The published package `redlock`, in both versions that people have: it brings no types that our compiler finds. */
import { createRequire } from "node:module";
import type { Redis } from "ioredis";
import type { Redlock4, Redlock5 } from "../../src/lock/node-redlock-instance.ts";

interface Settings {
  readonly retryCount?: number;
  readonly retryDelay?: number;
  readonly retryJitter?: number;
}

interface Events {
  on(event: string, listener: (...args: unknown[]) => void): unknown;
  listenerCount(event: string): number;
  removeAllListeners(): unknown;
}

type Constructor<Instance> = new (clients: readonly (Redis | object)[], settings?: Settings) => Instance & Events;

const require = createRequire(import.meta.url);

export const PublishedRedlock4: Constructor<Redlock4> = require("redlock-4");
export const PublishedRedlock5: Constructor<Redlock5> = require("redlock-5").default;

/** Both, for tests that are the same for both. */
export const VERSIONS = [
  { version: "4.2.0", create: (clients: readonly object[], settings?: Settings) => new PublishedRedlock4(clients, settings) },
  {
    version: "5.0.0-beta.2",
    create: (clients: readonly object[], settings?: Settings) => new PublishedRedlock5(clients, settings),
  },
] as const;
