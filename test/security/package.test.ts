import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { ROOT, sourceFiles } from "../support/source-files.ts";

interface Manifest {
  readonly scripts: Readonly<Record<string, string>>;
  readonly dependencies: Readonly<Record<string, string>>;
  readonly peerDependencies: Readonly<Record<string, string>>;
  readonly peerDependenciesMeta: Readonly<Record<string, { readonly optional?: boolean }>>;
}

const manifest: Manifest = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
const lock: {
  readonly packages: Readonly<
    Record<string, { integrity?: string; link?: boolean; inBundle?: boolean; dev?: boolean; optional?: boolean }>
  >;
} = JSON.parse(readFileSync(join(ROOT, "package-lock.json"), "utf8"));

/** What is published, and all that is: a key, a dump or a note that lies about in the folder is none of it. */
const PUBLISHED = [
  /^package\.json$/,
  /^(README|CHANGELOG|SECURITY|docs\/GUARANTEES)\.md$/,
  /^LICENSE$/,
  /^migrations\/\d{4}-[a-z-]+\.sql$/,
  /^examples\/employees\.csv$/,
  /^dist\/[a-z0-9-]+(\/[a-z0-9-]+)*\.(js|d\.ts)(\.map)?$/,
];

/** Below these are holes that are known: CVE-2024-21508, 21511 and 21512 of mysql2; CVE-2017-16082 of pg. */
const LOWEST_PEERS: Readonly<Record<string, readonly [number, number, number]>> = { mysql2: [3, 9, 8], pg: [7, 1, 2] };

describe("the package", () => {
  it("publishes what is on the list, and nothing else", { timeout: 90_000 }, () => {
    const answer = execFileSync("npm", ["pack", "--dry-run", "--json", "--ignore-scripts"], {
      cwd: ROOT,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    });
    const [packed] = JSON.parse(answer) as readonly { readonly files: readonly { readonly path: string }[] }[];

    const paths = packed?.files.map(({ path }) => path) ?? [];

    expect(paths.filter((path) => !PUBLISHED.some((pattern) => pattern.test(path)))).toEqual([]);
    expect(paths).toContain("LICENSE");
  });

  it("runs nothing when it is installed", () => {
    const hooks = ["preinstall", "install", "postinstall", "prepare", "preprepare", "postprepare", "dependencies"];

    expect(Object.keys(manifest.scripts).filter((name) => hooks.includes(name))).toEqual([]);
  });

  it("has two dependencies, and drivers that its user chooses", () => {
    expect(Object.keys(manifest.dependencies)).toEqual(["commander", "csv-parse"]);
    expect(Object.keys(manifest.peerDependencies)).toEqual(Object.keys(manifest.peerDependenciesMeta));
    expect(Object.values(manifest.peerDependenciesMeta).filter(({ optional }) => optional !== true)).toEqual([]);
  });

  it.each(Object.entries(LOWEST_PEERS))("takes no %s with a known hole", (peer, lowest) => {
    const ranges = (manifest.peerDependencies[peer] ?? "")
      .split("||")
      .map((range) => /(\d+)\.(\d+)\.(\d+)/.exec(range)?.slice(1).map(Number));

    const tooLow = ranges.filter((range) => range === undefined || isLower(range, lowest));

    expect(tooLow).toEqual([]);
  });

  it("is built from packages whose content the lock file knows by digest", () => {
    // npm leaves the digests out of what it did not install: tools' programs for other machines.
    const packages = Object.entries(lock.packages).filter(
      ([path, { link, inBundle, dev, optional }]) => path !== "" && !link && !inBundle && !(dev && optional),
    );

    const unknown = packages.filter(([, { integrity }]) => !integrity?.startsWith("sha512-")).map(([path]) => path);

    expect(packages.length).toBeGreaterThan(100);
    expect(unknown).toEqual([]);
  });
});

describe("the sources", () => {
  const sources = sourceFiles("src");
  it.each([
    ["turn the check of a certificate off", /rejectUnauthorized|NODE_TLS_REJECT_UNAUTHORIZED|checkServerIdentity/],
    ["make code of a text", /\beval\(\s*[`"']|\bnew Function\b|\bvm\b.*\bfrom "node:vm"|runInThisContext/],
    ["read an accessor of a prototype", /\.__proto__|setPrototypeOf\(/],
    ["merge what they do not know into an object of theirs", /\blodash|deepmerge|structuredClone\(.*prototype/],
  ])("never %s", (_what, pattern) => {
    expect(sources.filter(({ text }) => pattern.test(text)).map(({ path }) => path)).toEqual([]);
  });

  it("draw owners and ids from the system's randomness, and chance only for pauses", () => {
    const users = sources.filter(({ text }) => text.includes("Math.random")).map(({ path }) => path);

    expect(users).toEqual(["src/cli/demo/handlers/lock-row.ts", "src/queue/amqplib-consumer.ts"]);
  });
});

function isLower(version: readonly number[], lowest: readonly number[]): boolean {
  const at = version.findIndex((part, index) => part !== lowest[index]);
  return at !== -1 && (version[at] ?? 0) < (lowest[at] ?? 0);
}
