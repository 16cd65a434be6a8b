import { readdirSync } from "node:fs";
import { join } from "node:path";
import { climbLadder } from "../support/ladder.ts";
import { neededServiceFiles } from "../support/needed-services.ts";
import type { Service } from "../support/service.ts";
import { ROOT } from "./copy-project.ts";
import { type Check, isSimulation } from "./mutant.ts";

const FOLDER = "test/support/services/";

/** Starts the servers that the checks need, once, and names them to all runs by the environment. Returns the function that stops them. */
export async function startServers(checks: readonly Check[]): Promise<() => Promise<void>> {
  const files = checks.flatMap((check) => (isSimulation(check) ? [] : check.files));
  // Undefined: that cannot be told, so all are started.
  const needed = neededServiceFiles(files.map((file) => join(ROOT, file)));
  const names = readdirSync(join(ROOT, FOLDER)).filter((name) => name.endsWith(".ts") && needed?.has(FOLDER + name) !== false);
  const modules: Record<string, Service>[] = await Promise.all(names.map((name) => import(`../support/services/${name}`)));
  const started = await Promise.all(
    modules
      .flatMap((module) => Object.values(module))
      .map(async (service) => {
        const servers = await climbLadder(service);
        process.env[service.variable] = servers.urls.join(",");
        return servers;
      }),
  );
  return async () => {
    await Promise.all(started.map((servers) => servers.stop()));
  };
}
