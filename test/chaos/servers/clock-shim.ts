import { execFile } from "node:child_process";
import { chmodSync, closeSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { installPackage } from "../../support/install-package.ts";
import { locateBinaries } from "../../support/locate-binaries.ts";
import type { Service } from "../../support/service.ts";

const SOURCE = fileURLToPath(new URL("clock-shim.c", import.meta.url));

/** What a compiler and the headers it needs come with. */
const DEBIAN_PACKAGES = ["gcc", "libc6-dev"];

/** The time of day of one server, which can be moved while it runs and stays moved when it is started again. */
export interface ShimmedClock {
  /** For the environment of the server. */
  readonly env: Readonly<Record<string, string>>;
  /** Moves it by so many ms, back where they are negative. Holds when it returns. */
  jump(byMs: number): void;
}

/** Makes clocks, as many as there are servers. */
export interface ClockShim {
  clock(): ShimmedClock;
  /** Removes what was built. Servers that run with it go on. */
  [Symbol.dispose](): void;
}

/**
 * Builds the library that is preloaded into servers, with the compiler of this machine, which Debian's package brings where there is
 * none. For Linux.
 */
export async function buildClockShim(): Promise<ClockShim> {
  const folder = mkdtempSync(join(tmpdir(), "exclaim-clock-"));
  // PostgreSQL runs under another account.
  chmodSync(folder, 0o755);
  const library = join(folder, "clock-shim.so");
  const files: number[] = [];
  try {
    await compile(library);
  } catch (error) {
    rmSync(folder, { recursive: true, force: true });
    throw error;
  }
  return {
    clock: () => {
      const path = join(folder, `offset-${files.length}`);
      const file = openSync(path, "w", 0o644);
      files.push(file);
      return shimmedClock(file, { LD_PRELOAD: library, EXCLAIM_CLOCK_OFFSET: path });
    },
    [Symbol.dispose]: () => {
      for (const file of files.splice(0)) closeSync(file);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** The service, with its server's time of day being that of the clock. */
export function underClock(service: Service, clock: ShimmedClock): Service {
  return {
    ...service,
    start: (place, port) => {
      const command = service.start(place, port);
      return { ...command, env: { ...command.env, ...clock.env } };
    },
  };
}

function shimmedClock(file: number, env: Readonly<Record<string, string>>): ShimmedClock {
  let offsetMs = 0;
  const jump = (byMs: number): void => {
    offsetMs += byMs;
    const bytes = Buffer.alloc(8);
    new BigInt64Array(bytes.buffer, bytes.byteOffset, 1)[0] = BigInt(offsetMs);
    writeSync(file, bytes, 0, bytes.length, 0);
  };
  jump(0);
  return { env, jump };
}

async function compile(library: string): Promise<void> {
  const isThere = () => locateBinaries(["gcc"], []) !== undefined;
  const run = () => promisify(execFile)("gcc", ["-shared", "-fPIC", "-O2", "-o", library, SOURCE]);
  try {
    await run();
  } catch {
    // Perhaps the compiler is there without the headers.
    for (const name of DEBIAN_PACKAGES) await installPackage(name, () => name === "gcc" && isThere());
    await run();
  }
}
