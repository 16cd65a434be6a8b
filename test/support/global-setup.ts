import { readdirSync } from "node:fs";
import type { TestProject } from "vitest/node";
import { climbLadder, type SharedServers } from "./ladder.ts";
import { neededServiceFiles } from "./needed-services.ts";
import type { Service } from "./service.ts";
import "./shared-urls.ts";

interface Sharing {
  projects: number;
  /** By the name of the service. */
  readonly servers: Map<string, Promise<SharedServers>>;
}

/** Vitest loads this file anew for each project that names it, so what they share is kept by the process. */
const SHARING = Symbol.for("exclaim.test.sharedServers");
const store = globalThis as { [SHARING]?: Sharing | undefined };

/** Starts the services that the project's tests need, each once for the run, and hands their URLs to the tests. */
export async function setup(project: TestProject): Promise<void> {
  store[SHARING] ??= { projects: 0, servers: new Map() };
  const sharing = store[SHARING];
  sharing.projects += 1;
  for (const service of await findServices(project)) {
    if (!sharing.servers.has(service.name)) sharing.servers.set(service.name, climbLadder(service));
  }
  try {
    const started = await Promise.all(
      [...sharing.servers].map(async ([name, servers]) => [name, (await servers).urls] as const),
    );
    project.provide("serviceUrls", Object.fromEntries(started));
  } catch (error) {
    await stopAll(sharing);
    throw error;
  }
}

/** Stops the servers after the last project. */
export async function teardown(): Promise<void> {
  const sharing = store[SHARING];
  if (sharing === undefined) {
    return;
  }
  sharing.projects -= 1;
  if (sharing.projects === 0) {
    store[SHARING] = undefined;
    await stopAll(sharing);
  }
}

/** When some could not be started, setup has said why. */
async function stopAll({ servers }: Sharing): Promise<void> {
  const results = await Promise.allSettled(servers.values());
  await Promise.all(results.map((result) => (result.status === "fulfilled" ? result.value.stop() : undefined)));
}

/** Every export of the files in services/ is a service. Where files were named on the command line, only those their tests reach. */
async function findServices(project: TestProject): Promise<Service[]> {
  const folder = new URL("./services/", import.meta.url);
  const filters = project.vitest.config.watch ? [] : testsNamed(process.argv);
  const { testFiles } = await project.globTestFiles(filters.length === 0 ? undefined : filters);
  const needed = filters.length === 0 ? undefined : neededServiceFiles(testFiles);
  const files = readdirSync(folder)
    .filter((file) => file.endsWith(".ts"))
    .filter((file) => needed?.has(`test/support/services/${file}`) ?? true);
  const modules = await Promise.all(files.map((file) => import(new URL(file, folder).href)));
  return modules.flatMap((module: Record<string, Service>) => Object.values(module));
}

/** The arguments that are no options and no command: Vitest takes them for parts of file names. */
function testsNamed(args: readonly string[]): string[] {
  return args
    .slice(2)
    .filter((argument) => /\.test\.ts$/.test(argument) || /^(\.\/)?test\/[\w./-]+$/.test(argument))
    .filter((argument) => argument !== "test/vitest.config.ts");
}
