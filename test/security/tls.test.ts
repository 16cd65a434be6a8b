import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import amqp from "amqplib";
import { Redis } from "ioredis";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { createExclaim } from "../../src/claim/create-exclaim.ts";
import { redis } from "../../src/lock/redis.ts";
import { consume } from "../../src/queue/amqplib.ts";
import { type FreshDatabase, freshDatabase } from "../support/postgres.ts";
import { redisUrl } from "../support/redis.ts";
import { etcd } from "../support/services/etcd.ts";
import { rabbitmq } from "../support/services/rabbitmq.ts";
import { sharedUrl } from "../support/shared-urls.ts";
import { selfSigned } from "./certificate.ts";
import { startTlsProxy, type TlsProxy } from "./tls-proxy.ts";

const ETCD_PROGRAM = fileURLToPath(new URL("./etcd-tls-program.ts", import.meta.url));

const ours = selfSigned();
/** Of somebody who stands in between: good by itself, and vouched for by nobody we trust. */
const foreign = selfSigned();

let database: FreshDatabase;
let proxies: Record<"postgres" | "redis" | "rabbitmq" | "etcd", TlsProxy>;

beforeAll(async () => {
  database = await freshDatabase();
  const [postgres, redis, rabbit, etcdProxy] = await Promise.all([
    startTlsProxy(database.url, ours, { asksFirst: true }),
    startTlsProxy(redisUrl(), ours),
    startTlsProxy(sharedUrl(rabbitmq), ours),
    startTlsProxy(sharedUrl(etcd), ours),
  ]);
  proxies = { postgres, redis, rabbitmq: rabbit, etcd: etcdProxy };
});

afterAll(async () => {
  await Promise.all(Object.values(proxies).map((proxy) => proxy.close()));
  await database.drop();
});

describe("PostgreSQL by TLS", () => {
  it("is claimed from where the pool trusts the certificate", async () => {
    await database.pool.query(
      "create table voucher_item (id int primary key, user_id int); insert into voucher_item values (1)",
    );
    const pool = poolThatTrusts(ours.cert);
    const exclaim = createExclaim({ database: pool });
    await exclaim.migrate();

    const outcome = await exclaim
      .pool({ table: "voucher_item", ownerColumn: "user_id" })
      .claim({ claimant: "7" }, (claim) => claim.complete(async () => claim.key));

    await exclaim.close();
    expect(outcome).toEqual({ status: "completed", result: "1" });
  });

  it("is unreachable where it does not, and says why", async () => {
    const exclaim = createExclaim({ database: poolThatTrusts(foreign.cert) });

    const outcome = await exclaim.resource("order").claim({ key: "1" }, async () => "ran");

    await exclaim.close();
    expect(outcome).toMatchObject({
      status: "failed",
      error: { code: "DATABASE_UNREACHABLE", message: expect.stringContaining("self-signed certificate") },
    });
  });
});

describe("Redis by TLS", () => {
  it("is locked on where the client trusts the certificate", async () => {
    const lock = redis(await clientThatTrusts(ours.cert), { prefix: `tls:${process.pid}:` });

    const { lease } = await lock.acquire("a", { ttlMs: 60_000, owner: "a" });

    expect(lease && (await lock.release(lease))).toBe(true);
  });

  it("is unreachable where it does not", async () => {
    const lock = redis(await clientThatTrusts(foreign.cert), { callTimeoutMs: 2_000 });

    await expect(lock.acquire("a", { ttlMs: 60_000, owner: "a" })).rejects.toMatchObject({ code: "LOCK_UNREACHABLE" });
  });
});

describe("RabbitMQ by TLS", () => {
  it("is consumed where the connection trusts the certificate", async () => {
    const connection = await amqp.connect(`amqps://127.0.0.1:${proxies.rabbitmq.port}`, { ca: [ours.cert] });
    onTestFinished(() => connection.close());
    const exclaim = createExclaim({ database: database.pool });
    await exclaim.migrate();
    const queue = `exclaim-tls-${process.pid}-${Date.now()}`;
    const served: unknown[] = [];
    const resource = exclaim.resource("order");
    const consumer = await consume(connection, queue, async (message) => void served.push(message.data), {
      resource,
      key: () => "1",
    });
    const channel = await connection.createConfirmChannel();

    channel.sendToQueue(queue, Buffer.from('{"id":7}'));
    await expect.poll(() => served, { timeout: 20_000 }).toEqual([{ id: 7 }]);

    await consumer.close();
    await channel.deleteQueue(queue);
    await exclaim.close();
  });

  it("is not connected to where it does not", async () => {
    const url = `amqps://127.0.0.1:${proxies.rabbitmq.port}`;

    await expect(amqp.connect(url, { ca: [foreign.cert] })).rejects.toThrow("self-signed certificate");
  });
});

describe("etcd by TLS", () => {
  it("is locked on where the process trusts the certificate, and else unreachable, with the reason", async () => {
    const folder = mkdtempSync(join(tmpdir(), "exclaim-test-authority-"));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const authority = join(folder, "ca.pem");
    writeFileSync(authority, ours.cert);
    const run = async (env: Record<string, string>) => {
      const args = ["--import", "tsx", ETCD_PROGRAM, `https://127.0.0.1:${proxies.etcd.port}`, `tls-${process.pid}`];
      return (await promisify(execFile)(process.execPath, args, { env: { ...process.env, ...env } })).stdout;
    };

    const [trusted, distrusted] = await Promise.all([run({ NODE_EXTRA_CA_CERTS: authority }), run({})]);

    expect(trusted).toBe("taken and released");
    expect(distrusted).toMatch(/^LOCK_UNREACHABLE: .*self-signed certificate/);
  });
});

function poolThatTrusts(ca: string): pg.Pool {
  const { username, pathname } = new URL(database.url);
  const pool = new pg.Pool({
    host: "127.0.0.1",
    port: proxies.postgres.port,
    user: username,
    database: pathname.slice(1),
    ssl: { ca, rejectUnauthorized: true },
  });
  pool.on("error", () => {});
  onTestFinished(() => pool.end());
  return pool;
}

async function clientThatTrusts(ca: string): Promise<Redis> {
  const client = new Redis({
    host: "127.0.0.1",
    port: proxies.redis.port,
    tls: { ca },
    maxRetriesPerRequest: 1,
    enableOfflineQueue: false,
    lazyConnect: true,
  });
  client.on("error", () => {});
  onTestFinished(() => client.disconnect());
  await client.connect().catch(() => {});
  return client;
}
