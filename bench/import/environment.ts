import { readFileSync } from "node:fs";
import { availableParallelism, cpus, loadavg } from "node:os";

/** What the numbers depend on beside the programs themselves. */
export interface Environment {
  readonly cores: number;
  readonly processor: string;
  /** Of the last minute, before the program began. */
  readonly load: number;
  readonly versions: readonly string[];
}

const PACKAGES = ["bullmq", "csv-parse", "ioredis", "pg"];

export function environment(): Environment {
  const versions = PACKAGES.map((name) => `${name} ${versionIn(`../../node_modules/${name}/package.json`)}`);
  return {
    cores: availableParallelism(),
    processor: cpus()[0]?.model ?? "unknown",
    load: loadavg()[0] ?? Number.NaN,
    versions: [`exclaim ${versionIn("../../package.json")}`, ...versions, `Node ${process.version}`],
  };
}

export function printEnvironment({ cores, processor, load, versions }: Environment): string {
  return `${versions.join(", ")}; ${cores} cores (${processor}), load ${load.toFixed(1)} before it began`;
}

function versionIn(path: string): string {
  const { version } = JSON.parse(readFileSync(new URL(path, import.meta.url), "utf8")) as { version: string };
  return version;
}
