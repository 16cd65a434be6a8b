import { readFileSync } from "node:fs";
import { availableParallelism, cpus, loadavg } from "node:os";

/** What the numbers depend on beside the programs themselves. */
export interface Environment {
  readonly node: string;
  readonly cores: number;
  readonly processor: string;
  /** Of the last minute, before the program began. */
  readonly load: number;
  readonly packages: Readonly<Record<string, string>>;
}

const PACKAGES = ["redlock-4", "redlock-5", "redis-semaphore", "ioredis", "pg"];

export function environment(): Environment {
  const own = versionIn("../../package.json");
  const others = PACKAGES.map((name) => [name, versionIn(`../../node_modules/${name}/package.json`)] as const);
  return {
    node: process.version,
    cores: availableParallelism(),
    processor: cpus()[0]?.model ?? "unknown",
    load: loadavg()[0] ?? Number.NaN,
    packages: Object.fromEntries([["exclaim", own], ...others]),
  };
}

function versionIn(path: string): string {
  const { version } = JSON.parse(readFileSync(new URL(path, import.meta.url), "utf8")) as { version: string };
  return version;
}

export function printEnvironment({ node, cores, processor, load, packages }: Environment): string {
  const versions = Object.entries(packages).map(
    ([name, version]) => `${name.replace(/-[45]$/, "")} ${version.replace(/^v/, "")}`,
  );
  return `${versions.join(", ")}; Node ${node}, ${cores} cores (${processor}), load ${load.toFixed(1)} before it began`;
}
