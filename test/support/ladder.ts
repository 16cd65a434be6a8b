import { answeringDockerEngine } from "./docker-engine.ts";
import { eventually } from "./eventually.ts";
import { installPackage, obstacleToInstalling } from "./install-package.ts";
import { locateBinaries } from "./locate-binaries.ts";
import { note } from "./note.ts";
import { type ServerProcess, startServerProcess } from "./server-process.ts";
import type { Service } from "./service.ts";

const CONTAINER_LIMIT_MS = 300_000;

/** Servers that tests share, as many URLs as the service counts. */
export interface SharedServers {
  readonly urls: readonly string[];
  stop(): Promise<void>;
}

/**
 * Comes by the shared servers of a service on the first rung that holds: the environment, Docker, programs found on
 * this machine, programs installed with apt-get. Nothing is ever skipped.
 * Throws when the environment names servers that do not answer, and when no rung holds: then it says what to install.
 */
export async function climbLadder(service: Service): Promise<SharedServers> {
  return (await namedByEnvironment(service)) ?? (await startedInDocker(service)) ?? (await startedFromPrograms(service));
}

/** Starts a server of our own, always from programs, since a container or a stranger's server cannot be signalled. */
export async function startPrivateServer(service: Service, options: { port?: number } = {}): Promise<ServerProcess> {
  return startServerProcess(service, await findPrograms(service), options);
}

async function namedByEnvironment(service: Service): Promise<SharedServers | undefined> {
  const urls = (process.env[service.variable] ?? "")
    .split(",")
    .map((url) => url.trim())
    .filter((url) => url !== "");
  if (urls.length === 0) {
    return undefined;
  }
  if (urls.length < service.count) {
    throw new Error(`${service.variable} names ${urls.length} servers, but the tests need ${service.count}, parted by commas.`);
  }
  for (const url of urls) {
    await service.probe(url).catch((cause: unknown) => {
      const reason = cause instanceof Error ? ("code" in cause && cause.code) || cause.name : "unknown";
      throw new Error(`${service.variable} names a ${service.title} that does not answer (${reason}): start it or unset it.`);
    });
  }
  note(`${service.title}: as named by ${service.variable}`);
  return { urls, stop: async () => {} };
}

/** testcontainers removes the containers of a run that died. */
async function startedInDocker(service: Service): Promise<SharedServers | undefined> {
  if (!(await answeringDockerEngine())) {
    return undefined;
  }
  try {
    const servers = await startAll(service.count, () => startContainer(service));
    note(`${service.title}: Docker image ${service.container.image}`);
    return servers;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    note(`${service.title}: a Docker engine answers, but ${service.container.image} cannot be had from it (${reason}).`);
    note(`${service.title}: going on with programs on this machine`);
    return undefined;
  }
}

async function startContainer(service: Service): Promise<{ url: string; stop(): Promise<unknown> }> {
  const { GenericContainer } = await import("testcontainers");
  const { image, port, command = [], env = {}, tmpfs = [] } = service.container;
  const starting = new GenericContainer(image)
    .withExposedPorts(port)
    .withCommand([...command])
    .withEnvironment({ ...env })
    .withTmpFs(Object.fromEntries(tmpfs.map((folder) => [folder, "rw"])))
    .start();
  const container = await withinLimit(starting, CONTAINER_LIMIT_MS);
  const url = service.url(container.getHost(), container.getMappedPort(port));
  await eventually(() => service.probe(url), { timeoutMs: 60_000, what: `an answer of ${service.title} in Docker` });
  return { url, stop: () => container.stop() };
}

async function startedFromPrograms(service: Service): Promise<SharedServers> {
  const folder = await findPrograms(service);
  const servers = await startAll(service.count, () => startServerProcess(service, folder));
  note(`${service.title}: ${folder}/${service.binaries[0]}`);
  return servers;
}

/** Found, else installed, else a failure that says what to install. */
async function findPrograms(service: Service): Promise<string> {
  const locate = () => locateBinaries(service.binaries, service.folders);
  const found = locate();
  if (found !== undefined) {
    return found;
  }
  const obstacle = obstacleToInstalling();
  if (obstacle !== undefined) {
    throw new Error(whatToInstall(service, obstacle));
  }
  try {
    await installPackage(service.debianPackage, () => locate() !== undefined);
  } catch (cause) {
    throw new Error(whatToInstall(service, "installing it failed"), { cause });
  }
  const installed = locate();
  if (installed === undefined) {
    throw new Error(whatToInstall(service, `the package ${service.debianPackage} did not bring it`));
  }
  return installed;
}

function whatToInstall(service: Service, obstacle: string): string {
  const places = ["PATH", ...service.folders].join(", ");
  return [
    `The tests need ${service.title}: looked for ${service.binaries.join(" and ")} in ${places}, and ${obstacle}.`,
    `Install the Debian package ${service.debianPackage} (apt-get install ${service.debianPackage}) or the like, so that they are found there.`,
    `For tests that share servers it is enough to set ${service.variable}, or to start Docker.`,
  ].join("\n");
}

/** All or none: what did start is stopped again when one does not. */
async function startAll(
  count: number,
  start: () => Promise<{ url: string; stop(): Promise<unknown> }>,
): Promise<SharedServers> {
  const results = await Promise.allSettled(Array.from({ length: count }, start));
  const started = results.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
  const stop = async (): Promise<void> => {
    await Promise.all(started.map((server) => server.stop()));
  };
  const failed = results.find((result) => result.status === "rejected");
  if (failed !== undefined) {
    await stop();
    throw failed.reason;
  }
  return { urls: started.map((server) => server.url), stop };
}

async function withinLimit<T>(work: Promise<T>, limitMs: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const expiry = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`not within ${limitMs} ms`)), limitMs);
  });
  try {
    return await Promise.race([work, expiry]);
  } finally {
    clearTimeout(timer);
  }
}
