import { readdirSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { afterAll } from "vitest";
import type { ServerProcess } from "../../support/server-process.ts";
import { sharedUrls } from "../../support/shared-urls.ts";
import type { LockInspector, LockProduct, OpenLock } from "./lock-product.ts";
import type { LockUnderTest } from "./open-lock.ts";

const FOLDER = new URL("../../lock/products/", import.meta.url);

/** A product, and the file that another process imports it from. */
export interface FoundProduct extends LockProduct {
  readonly file: string;
}

/**
 * Every file in test/lock/products/: what is there is tested, so that no list can leave one out. Whoever works on some of them alone
 * names those files in LOCK_PRODUCTS, parted by commas.
 */
export async function lockProducts(): Promise<readonly FoundProduct[]> {
  const wanted = (process.env.LOCK_PRODUCTS ?? "").split(",").filter((name) => name !== "");
  const all = readdirSync(FOLDER).filter((name) => name.endsWith(".ts"));
  const files = wanted.length === 0 ? all : wanted.map((name) => `${name}.ts`);
  return Promise.all(
    files.map(async (name) => {
      const file = new URL(name, FOLDER);
      const module: { readonly product: LockProduct } = await import(file.href);
      return { ...module.product, file: fileURLToPath(file) };
    }),
  );
}

/** A product and the servers that the tests of one file use for it: the shared ones, or else some of its own, started when first asked for. */
export interface ProductBed {
  readonly product: FoundProduct;
  urls(): Promise<readonly string[]>;
  /** A back-end over clients of its own, for `lockConformance`. */
  create(): Promise<LockUnderTest>;
  open(): Promise<OpenLock>;
  /** The servers' own view; one for all tests. */
  inspector(): Promise<LockInspector>;
}

/** To be called where tests are registered: it clears up after the last of them. */
export function productBed(product: FoundProduct): ProductBed {
  let servers: Promise<readonly ServerProcess[]> | undefined;
  let looking: Promise<LockInspector> | undefined;
  const urls = async (): Promise<readonly string[]> => {
    if (product.shared !== undefined) return sharedUrls(product.shared.service).slice(0, product.shared.count);
    servers ??= product.startServers();
    return (await servers).map(({ url }) => url);
  };
  const inspector = () => {
    looking ??= urls().then((addresses) => product.inspect(addresses));
    return looking;
  };
  const open = async () => product.open(await urls());
  afterAll(async () => {
    await (await looking)?.close();
    await Promise.all(((await servers) ?? []).map((server) => server.stop()));
  });
  return {
    product,
    urls,
    open,
    inspector,
    create: async () => {
      const server = await inspector();
      const { backend, close } = await open();
      return {
        backend,
        isHeld: async (key) => (await server.holders(key)) > 0,
        elapse: async (ms) => {
          await delay(ms);
        },
        close,
      };
    },
  };
}
