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

/** `packages`: as they are named in node_modules. */
export function environment(packages: readonly string[]): Environment {
  const others = packages.map((name) => [name, versionIn(`../node_modules/${name}/package.json`)] as const);
  return {
    node: process.version,
    cores: availableParallelism(),
    processor: cpus()[0]?.model ?? "unknown",
    load: loadavg()[0] ?? Number.NaN,
    packages: Object.fromEntries([["exclaim", versionIn("../package.json")], ...others]),
  };
}

function versionIn(path: string): string {
  const { version } = JSON.parse(readFileSync(new URL(path, import.meta.url), "utf8")) as { version: string };
  return version;
}

export function printEnvironment({ node, cores, processor, load, packages }: Environment): string {
  const versions = Object.entries(packages).map(
    ([name, version]) => `${name.replace(/-[0-9]$/, "")} ${version.replace(/^v/, "")}`,
  );
  return `${versions.join(", ")}; Node ${node}, ${cores} cores (${processor}), load ${load.toFixed(1)} before it began`;
}
