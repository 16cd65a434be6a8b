import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Redis } from "ioredis";
import { afterEach, describe, expect, it, vi } from "vitest";
import { climbLadder, type SharedServers, startPrivateServer } from "./ladder.ts";
import { redisQuorumUrls, redisUrl } from "./redis.ts";
import { etcd } from "./services/etcd.ts";
import { mariadb } from "./services/mariadb.ts";
import { postgres } from "./services/postgres.ts";
import { rabbitmq } from "./services/rabbitmq.ts";
import { redis, redisQuorum } from "./services/redis.ts";
import { zookeeper } from "./services/zookeeper.ts";

const climbed: SharedServers[] = [];

afterEach(async () => {
  vi.unstubAllEnvs();
  await Promise.all(climbed.splice(0).map((servers) => servers.stop()));
});

describe("the ladder", () => {
  it("takes servers named by the environment and leaves them running", async () => {
    vi.stubEnv("REDIS_URL", redisUrl());

    const servers = await climbLadder(redis);
    await servers.stop();

    expect(servers.urls).toEqual([redisUrl()]);
    await expect(redis.probe(redisUrl())).resolves.toBeUndefined();
  });

  it("refuses servers named by the environment that do not answer, without showing the password", async () => {
    vi.stubEnv("REDIS_URL", "redis://:hunter2@127.0.0.1:1");

    const climbing = climbLadder(redis);

    const error = await climbing.catch((reason: Error) => reason);
    expect(error).toMatchObject({ message: expect.stringMatching(/^REDIS_URL names a Redis that does not answer/) });
    expect(String(error)).not.toContain("hunter2");
  });

  it("refuses fewer URLs than the quorum needs", async () => {
    vi.stubEnv("REDIS_URLS", `${redisUrl()},${redisUrl()}`);

    const climbing = climbLadder(redisQuorum);

    await expect(climbing).rejects.toThrow("REDIS_URLS names 2 servers, but the tests need 5, parted by commas.");
  });

  it("goes on with programs on the machine when a Docker engine answers but has no image", async () => {
    vi.stubEnv("REDIS_URL", "");
    const engine = await startEngineWithoutImages();
    vi.stubEnv("DOCKER_HOST", `tcp://127.0.0.1:${engine.port}`);
    const written = vi.spyOn(process.stderr, "write").mockReturnValue(true);

    const servers = await climbLadder(redis);
    climbed.push(servers);
    const notes = written.mock.calls.map(([text]) => String(text)).join("");
    written.mockRestore();
    await engine.stop();

    expect(engine.asked).toContain("/_ping");
    expect(notes).toContain("a Docker engine answers, but redis:7.4-alpine cannot be had from it");
    expect(servers.urls).toHaveLength(1);
    await expect(redis.probe(String(servers.urls[0]))).resolves.toBeUndefined();
  });

  it("says what to install when nothing is found and nothing can be installed", async () => {
    const emptyFolder = await mkdtemp(join(tmpdir(), "exclaim-test-path-"));
    vi.stubEnv("PATH", emptyFolder);

    const starting = startPrivateServer({ ...redis, folders: [] });

    await expect(starting).rejects.toThrow(/looked for redis-server in PATH, and apt-get is not on this machine/);
    await expect(starting).rejects.toThrow(/apt-get install redis-server/);
    await rm(emptyFolder, { recursive: true });
  });

  it("shares five Redis that know nothing of each other", async () => {
    const clients = redisQuorumUrls().map((url) => new Redis(url));

    await Promise.all(clients.map((client, index) => client.set("exclaim:test:ladder", index)));
    const values = await Promise.all(clients.map((client) => client.getdel("exclaim:test:ladder")));

    expect(values).toEqual(["0", "1", "2", "3", "4"]);
    await Promise.all(clients.map((client) => client.quit()));
  });

  it("starts the same images as docker-compose.yml", async () => {
    const compose = await readFile(new URL("../../docker-compose.yml", import.meta.url), "utf8");

    const images = [...compose.matchAll(/^ +image: (\S+)$/gm)].map((match) => match[1]);

    expect(images.sort()).toEqual(
      [postgres, redis, etcd, zookeeper, mariadb, rabbitmq].map(({ container }) => container.image).sort(),
    );
  });
});

/** Answers the ping of a Docker engine, and everything else as an engine that cannot reach its registry. */
async function startEngineWithoutImages(): Promise<{ port: number; asked: string[]; stop(): Promise<void> }> {
  const asked: string[] = [];
  const server: Server = createServer((request, response) => {
    asked.push(request.url ?? "");
    const isPing = request.url === "/_ping";
    response.writeHead(isPing ? 200 : 500, { "content-type": "application/json" });
    response.end(isPing ? "OK" : JSON.stringify({ message: "the registry does not answer" }));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const stop = () =>
    new Promise<void>((resolve) => {
      server.closeAllConnections();
      server.close(() => resolve());
    });
  return { port: typeof address === "object" && address !== null ? address.port : 0, asked, stop };
}
