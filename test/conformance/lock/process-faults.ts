import { randomUUID } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, describe, it } from "vitest";
import { Holder } from "./holder.ts";
import type { ProductBed } from "./lock-products.ts";
import { type Lapse, machineNowMs, type WorkReport } from "./pod-commands.ts";
import { PodProcess } from "./pod-process.ts";

const TTL_MS = 4_000;
/** Well beyond the ttl. */
const ABSENCE_MS = 6_500;
/** How long the next one waits: the ttl, the steps of a server that counts in them, a session's end, and a busy machine. */
const WAIT_MS = 30_000;

const HOUR_MS = 3_600_000;
const INCREMENTS = 25;

/** Four processes for the tests of one file. Each test below but the first does harm to one of them, and each to another one. */
export class PodCrew {
  readonly #beds: readonly ProductBed[];
  #pods: Promise<readonly PodProcess[]> | undefined;

  constructor(beds: readonly ProductBed[]) {
    this.#beds = beds;
  }

  all(): Promise<readonly PodProcess[]> {
    this.#pods ??= Promise.all([1, 2, 3, 4].map(() => startPod(this.#beds)));
    return this.#pods;
  }

  async member(index: number): Promise<PodProcess> {
    const pod = (await this.all())[index];
    if (pod === undefined) throw new Error(`there is no pod ${index}`);
    return pod;
  }

  async dismiss(): Promise<void> {
    await Promise.all(((await this.#pods) ?? []).map((pod) => pod.kill()));
  }
}

/** 4 processes and nothing but the lock between them and a number in a file. */
export function counterFuzz(beds: readonly ProductBed[], crew: PodCrew): void {
  describe("4 processes that increment an unprotected counter", () => {
    beforeAll(async () => void (await crew.all()));

    for (const { product } of beds) {
      it.concurrent(`L1 lose no increment under ${product.title}, though the wall clocks of two jump by hours`, async ({
        expect,
      }) => {
        const { title } = product;
        const pods = await crew.all();
        const path = join(pods[0]?.folder ?? "", randomUUID());
        writeFileSync(path, "0");
        const key = `fuzz:${randomUUID()}`;
        const jumps = [[], [], [-5 * HOUR_MS, 9 * HOUR_MS, 0], [700 * HOUR_MS, -HOUR_MS]];

        await Promise.all(
          pods.map((pod, index) =>
            pod.count({ title, key, ttlMs: TTL_MS, path, times: INCREMENTS, clockJumpsMs: jumps[index] ?? [] }),
          ),
        );

        expect(readFileSync(path, "utf8")).toBe("100");
      });
    }
  });
}

/** A process that holds a key of every product is killed. */
export function killedHolder(beds: readonly ProductBed[], crew: PodCrew): void {
  describe.concurrent("the holder is killed", () => {
    const scene = new Scene(beds, () => crew.member(0));
    beforeAll(() => scene.begin((pod) => pod.kill()));
    afterAll(() => scene.end());

    for (const bed of beds) {
      it(`L3 ${bed.product.title}: the next one wins when the lease or session is over`, async ({ expect }) => {
        const { waiter, key } = scene.of(bed);

        const next = await waiter;

        expect(next.lock.status).toBe("held");
        expect(await (await bed.inspector()).holders(key)).toBe(1);
      });
    }
  });
}

/** A process that holds a key of every product is stopped, and goes on when its leases are long over. */
export function pausedHolder(beds: readonly ProductBed[], crew: PodCrew): void {
  describe.concurrent("the holder is paused beyond its ttl", () => {
    const scene = new Scene(beds, () => crew.member(1));
    beforeAll(() =>
      scene.begin(async (pod) => {
        pod.pause();
        await delay(ABSENCE_MS);
        pod.goOn();
        await scene.endWork();
      }),
    );
    afterAll(() => scene.end());

    for (const bed of beds) {
      it(`L3 ${bed.product.title}: it trusts its lease no more, and leaves the next holder's alone`, async ({ expect }) => {
        const { waiter, key } = scene.of(bed);

        const report = scene.reportOf(bed);
        const next = await waiter;

        expect(report).toMatchObject({ lost: "LEASE_LOST", aborted: true, released: false });
        expect(report.lastTrustedAtMs).toBeLessThan(next.wonAtMs);
        expect(next.lock.status === "held" && next.lock.signal.aborted).toBe(false);
        expect(await (await bed.inspector()).holders(key)).toBe(1);
      });
    }
  });
}

/** A process that holds a key of every product computes without a pause until its leases are long over. */
export function stalledHolder(beds: readonly ProductBed[], crew: PodCrew): void {
  describe.concurrent("the holder's event loop is stalled beyond its ttl", () => {
    const scene = new Scene(beds, () => crew.member(2));
    let lapses: readonly Lapse[] = [];
    beforeAll(() =>
      scene.begin(async (pod) => {
        lapses = await pod.stall(ABSENCE_MS);
        await scene.endWork();
      }),
    );
    afterAll(() => scene.end());

    for (const bed of beds) {
      it(`L3 ${bed.product.title}: assertHeld throws as soon as it is asked, though no timer has fired`, async ({ expect }) => {
        const { title } = bed.product;
        const { waiter, key } = scene.of(bed);

        const report = scene.reportOf(bed);
        const next = await waiter;

        expect(lapses.find((lapse) => lapse.title === title)).toEqual({
          title,
          abortedByTimer: false,
          thrown: "LEASE_LOST",
          abortedByLooking: true,
        });
        expect(report.lastTrustedAtMs).toBeLessThan(next.wonAtMs);
        expect(next.lock.status).toBe("held");
        expect(await (await bed.inspector()).holders(key)).toBe(1);
      });
    }
  });
}

/** The wall clock of a process that holds a key of every product jumps to and fro. */
export function jumpingClock(beds: readonly ProductBed[], crew: PodCrew): void {
  describe.concurrent("the holder's wall clock jumps by hours", () => {
    const scene = new Scene(beds, () => crew.member(3));
    const heldThen = new Map<ProductBed, number>();
    beforeAll(() =>
      scene.begin(async (pod) => {
        for (const hours of [6, -48, 9_000]) {
          await pod.setClock(hours * HOUR_MS);
          await delay(2_700);
        }
        const looks = beds.map(async (bed) => heldThen.set(bed, await (await bed.inspector()).holders(scene.of(bed).key)));
        await Promise.allSettled(looks);
        await scene.endWork();
      }),
    );
    afterAll(() => scene.end());

    for (const bed of beds) {
      it(`L1 L3 ${bed.product.title}: it keeps its lease for twice the ttl, and nobody else wins`, async ({ expect }) => {
        const { waiter } = scene.of(bed);

        const report = scene.reportOf(bed);
        const next = await waiter;

        expect(heldThen.get(bed)).toBe(1);
        expect(report).toMatchObject({ lost: null, aborted: false, released: true });
        expect(report.lastTrustedAtMs).toBeLessThan(next.wonAtMs);
        expect(next.lock.status).toBe("held");
      });
    }
  });
}

interface Role {
  readonly key: string;
  /** Waits in this process for what the pod holds. */
  readonly next: Holder;
  readonly waiter: Promise<{
    readonly lock: Awaited<ReturnType<Holder["exclaim"]["lock"]["acquire"]>>;
    readonly wonAtMs: number;
  }>;
}

/** One pod that holds a key of every product, and one in this process who waits for each of them. */
class Scene {
  readonly #beds: readonly ProductBed[];
  readonly #roles = new Map<ProductBed, Role>();
  readonly #reports = new Map<ProductBed, PromiseSettledResult<WorkReport>>();
  readonly #failures = new Map<ProductBed, unknown>();
  readonly #recruit: () => Promise<PodProcess>;
  #pod: PodProcess | undefined;

  constructor(beds: readonly ProductBed[], recruit: () => Promise<PodProcess>) {
    this.#beds = beds;
    this.#recruit = recruit;
  }

  /** Whatever goes wrong with one product is told by its own test alone. */
  async begin(fault: (pod: PodProcess) => Promise<void>): Promise<void> {
    const pod = await this.#recruit();
    this.#pod = pod;
    await Promise.all(
      this.#beds.map(async (bed) => {
        try {
          this.#roles.set(bed, await cast(bed, pod));
        } catch (error) {
          this.#failures.set(bed, error);
        }
      }),
    );
    await fault(pod);
  }

  of(bed: ProductBed): Role {
    const role = this.#roles.get(bed);
    if (role === undefined) throw this.#failures.get(bed) ?? new Error("the scene has not begun");
    return role;
  }

  async endWork(): Promise<void> {
    const pod = this.#pod;
    if (pod === undefined) return;
    const beds = [...this.#roles.keys()];
    const reports = await Promise.allSettled(beds.map(({ product }) => pod.end(product.title)));
    beds.forEach((bed, index) => {
      const report = reports[index];
      if (report !== undefined) this.#reports.set(bed, report);
    });
  }

  reportOf(bed: ProductBed): WorkReport {
    const report = this.#reports.get(bed);
    if (report === undefined) throw new Error("the pod's work has not ended");
    if (report.status === "rejected") throw report.reason;
    return report.value;
  }

  async end(): Promise<void> {
    // So that whoever still waits gets what the pod holds.
    await this.#pod?.kill();
    await Promise.all(
      [...this.#roles.values()].map(async ({ next, waiter }) => {
        const won = await waiter.catch(() => undefined);
        if (won?.lock.status === "held") await won.lock.release();
        await next[Symbol.asyncDispose]();
      }),
    );
  }
}

async function cast({ product, urls }: ProductBed, pod: PodProcess): Promise<Role> {
  const key = `process:${randomUUID()}`;
  const next = await Holder.open(product, await urls(), TTL_MS);
  try {
    await pod.work(product.title, key, TTL_MS);
  } catch (error) {
    await next[Symbol.asyncDispose]();
    throw error;
  }
  const waiter = next.exclaim.lock.acquire(key, { waitMs: WAIT_MS }).then((lock) => ({ lock, wonAtMs: machineNowMs() }));
  waiter.catch(() => {});
  return { key, next, waiter };
}

async function startPod(beds: readonly ProductBed[]): Promise<PodProcess> {
  const products = await Promise.all(
    beds.map(async ({ product: { title, file }, urls }) => ({ title, file, urls: await urls() })),
  );
  return PodProcess.start({ sessionMs: TTL_MS, products });
}
