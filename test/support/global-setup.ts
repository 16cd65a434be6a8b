import { readdirSync } from "node:fs";
import type { TestProject } from "vitest/node";
import { climbLadder, type SharedServers } from "./ladder.ts";
import type { Service } from "./service.ts";
import "./shared-urls.ts";

interface Sharing {
  projects: number;
  readonly servers: Promise<ReadonlyMap<string, SharedServers>>;
}

/** Vitest loads this file anew for each project that names it, so what they share is kept by the process. */
const SHARING = Symbol.for("exclaim.test.sharedServers");
const store = globalThis as { [SHARING]?: Sharing | undefined };

/** Starts every service in services/ once for the run, whichever projects take part, and hands their URLs to the tests. */
export async function setup(project: TestProject): Promise<void> {
  store[SHARING] ??= { projects: 0, servers: startServices() };
  store[SHARING].projects += 1;
  const servers = await store[SHARING].servers;
  project.provide("serviceUrls", Object.fromEntries([...servers].map(([name, { urls }]) => [name, urls])));
}

/** Stops the servers after the last project. When they could not be started, setup has said why. */
export async function teardown(): Promise<void> {
  const sharing = store[SHARING];
  if (sharing === undefined) {
    return;
  }
  sharing.projects -= 1;
  if (sharing.projects === 0) {
    store[SHARING] = undefined;
    const started = await sharing.servers.catch(() => new Map<string, SharedServers>());
    await Promise.all([...started.values()].map((servers) => servers.stop()));
  }
}

/** All or none. */
async function startServices(): Promise<ReadonlyMap<string, SharedServers>> {
  const services = await findServices();
  const started = new Map<string, SharedServers>();
  const results = await Promise.allSettled(
    services.map(async (service) => {
      started.set(service.name, await climbLadder(service));
    }),
  );
  const failed = results.find((result) => result.status === "rejected");
  if (failed !== undefined) {
    await Promise.all([...started.values()].map((servers) => servers.stop()));
    throw failed.reason;
  }
  return started;
}

/** Every export of the files in services/ is a service. */
async function findServices(): Promise<Service[]> {
  const folder = new URL("./services/", import.meta.url);
  const files = readdirSync(folder).filter((file) => file.endsWith(".ts"));
  const modules = await Promise.all(files.map((file) => import(new URL(file, folder).href)));
  return modules.flatMap((module: Record<string, Service>) => Object.values(module));
}
