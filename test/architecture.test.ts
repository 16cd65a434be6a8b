import { existsSync, readdirSync, readFileSync } from "node:fs";
import { builtinModules } from "node:module";
import { dirname, join, normalize } from "node:path";
import { describe, expect, it } from "vitest";
import { ROOT, type SourceFile, sourceFiles } from "./support/source-files.ts";

const SOURCES = sourceFiles("src");
const TESTS = sourceFiles("test");

const LEAVES = ["src/clock.ts", "src/errors.ts", "src/events.ts", "src/random.ts", "src/standard-schema.ts"];

/** Beside itself and the leaves, what each folder may import: folders, or single files of them. No other edge. */
const MAY_IMPORT: Record<string, readonly string[]> = {
  lock: [],
  ledger: [],
  settle: [],
  lease: ["lock/lock.ts"],
  claim: ["settle/", "ledger/", "lease/", "lock/lock.ts"],
  queue: ["settle/", "claim/"],
  outbox: ["ledger/"],
  fanout: ["ledger/", "outbox/target.ts", "outbox/target-of.ts"],
  telemetry: [],
  dashboard: ["ledger/"],
  cli: [""],
};

/** Where a peer's run-time code may be imported. */
const MAY_IMPORT_PACKAGES = /^src\/(lock\/|outbox\/|telemetry\/|cli\/|fanout\/csv-rows\.ts$)/;

const MAX_LINES = 400;

const TOP_LEVEL = [
  "CHANGELOG.md",
  "LICENSE",
  "README.md",
  "SECURITY.md",
  "bench",
  "docker-compose.yml",
  "docs",
  "examples",
  "migrations",
  "package-lock.json",
  "package.json",
  "src",
  "test",
  "tsconfig.json",
];

/** Made by the scripts and ignored by git. */
const GENERATED = ["coverage", "dist", "node_modules"];

describe("the folders", () => {
  it.each(SOURCES.map((file) => [file.path, file] as const))("%s imports only what its folder may", (_path, file) => {
    const wrong = file.imports
      .map(({ target }) => target)
      .filter((target) => target.startsWith("src/") && !isAllowed(file, target));

    expect(wrong).toEqual([]);
  });

  it("knows every folder of src", () => {
    const folders = readdirSync(join(ROOT, "src"), { withFileTypes: true }).filter((entry) => entry.isDirectory());

    expect(folders.map((folder) => folder.name).filter((name) => !(name in MAY_IMPORT))).toEqual([]);
  });

  it("a lock product imports its contract and leaves, never a sibling", () => {
    const siblings = SOURCES.filter((file) => file.path.startsWith("src/lock/")).flatMap((file) =>
      file.imports.filter(({ target }) => target.startsWith("src/lock/") && !isPartOf(file.path, target)),
    );

    expect(siblings).toEqual([]);
  });

  it("an adapter imports no other adapter", () => {
    const brokers = ["bullmq", "amqplib"];
    const mixed = SOURCES.filter((file) => file.path.startsWith("src/queue/")).flatMap((file) => {
      const own = brokers.find((broker) => file.path.startsWith(`src/queue/${broker}`));
      const others = brokers.filter((broker) => broker !== own);
      return file.imports.filter(({ target }) => others.some((other) => target.startsWith(`src/queue/${other}`)));
    });

    expect(mixed).toEqual([]);
  });

  it("has no cycle of imports, types included", () => {
    expect(findCycle(SOURCES)).toBeUndefined();
  });

  it("keeps the clients out: only products and the command line import packages at run time", () => {
    const wrong = SOURCES.flatMap((file) =>
      file.imports
        .filter(({ target, typeOnly }) => !typeOnly && isPackage(target) && !MAY_IMPORT_PACKAGES.test(file.path))
        .map(({ target }) => `${file.path} imports ${target}`),
    );

    expect(wrong).toEqual([]);
  });

  it("the root entry and everything it imports name no product, broker or package", () => {
    const reached = reachable("src/index.ts");

    expect([...reached].filter((path) => isPackage(path) || /^src\/(queue|cli)\/|^src\/lock\/(?!lock\.ts)/.test(path))).toEqual(
      [],
    );
  });
});

describe("the files", () => {
  it("are one idea each: none is longer than 400 lines", () => {
    const long = SOURCES.filter((file) => file.text.split("\n").length > MAX_LINES).map((file) => file.path);

    expect(long).toEqual([]);
  });

  it("are named by an idea, never a bucket", () => {
    const buckets = SOURCES.filter((file) =>
      /\/(utils?|helpers?|types|interfaces|common|misc|shared|lib)(\/|\.ts$)/.test(file.path),
    );

    expect(buckets.map((file) => file.path)).toEqual([]);
  });

  it("re-export nothing but from the root entry", () => {
    const barrels = SOURCES.filter((file) => file.path !== "src/index.ts" && /^export .* from "/m.test(file.text));

    expect(barrels.map((file) => file.path)).toEqual([]);
  });

  it("write nothing to the console outside the command line", () => {
    const talkative = SOURCES.filter((file) => !file.path.startsWith("src/cli/") && /\bconsole\./.test(file.text));

    expect(talkative.map((file) => file.path)).toEqual([]);
  });

  // The engine runs in simulation too: time and chance come in through contracts.
  it.each(["claim", "lease", "ledger", "settle"])(
    "of src/%s take time and chance from the clock and random contracts alone",
    (folder) => {
      const own =
        /\bDate\b(?! )|\bMath\.random\b|\bset(Timeout|Interval)\b|\bperformance\.|from "node:(fs|child_process|timers)/;
      const wrong = SOURCES.filter((file) => file.path.startsWith(`src/${folder}/`))
        .filter((file) => !["src/ledger/migrate.ts"].includes(file.path))
        .flatMap((file) =>
          withoutComments(file.text)
            .split("\n")
            .filter((line) => own.test(line) && !/instanceof Date|: Date|\| Date|Date \|/.test(line))
            .map((line) => `${file.path}: ${line.trim()}`),
        );

      expect(wrong).toEqual([]);
    },
  );

  it("hold no loose ends", () => {
    const loose = /\b(TODO|FIXME|XXX)\b|@ts-(ignore|expect-error|nocheck)|biome-ignore|eslint-disable/;
    const untyped = /\bas any\b|: any\b/;
    const isLoose = ({ text }: SourceFile): boolean => loose.test(text) || untyped.test(withoutComments(text));

    expect(SOURCES.filter(isLoose).map((file) => file.path)).toEqual([]);
  });

  it("stand at the top level only where a newcomer expects them", () => {
    const present = readdirSync(ROOT).filter((name) => !name.startsWith(".") && !GENERATED.includes(name));

    expect(present.filter((name) => !TOP_LEVEL.includes(name))).toEqual([]);
    expect(TOP_LEVEL.filter((name) => !existsSync(join(ROOT, name)))).toEqual([]);
  });
});

describe("the contracts", () => {
  it.each([
    ["src/lock/lock.ts", "LockBackend"],
    ["src/ledger/ledger.ts", "Ledger"],
    ["src/ledger/ledger.ts", "FencedTransactions"],
    ["src/ledger/ledger.ts", "ClaimLookup"],
    ["src/clock.ts", "Clock"],
    ["src/random.ts", "Random"],
    ["src/claim/pool.ts", "Pool"],
    ["src/claim/resource.ts", "Resource"],
    ["src/ledger/resource-ledger.ts", "ResourceLedger"],
    ["src/ledger/resource-ledger.ts", "ResourceTransactions"],
    ["src/ledger/dead-letters.ts", "DeadLetters"],
    ["src/ledger/imports.ts", "Imports"],
    ["src/ledger/imports.ts", "ImportRuns"],
    ["src/ledger/imports.ts", "ImportOutcomes"],
    ["src/outbox/target.ts", "MessageTarget"],
    ["src/lease/locks.ts", "Locks"],
  ])("%s: %s has five methods or fewer", (path, name) => {
    const text = SOURCES.find((file) => file.path === path)?.text ?? "";
    const body = new RegExp(`export interface ${name}(?:<[^{]*>)? \\{([\\s\\S]*?)\\n\\}`).exec(text)?.[1];
    const methods = withoutComments(body ?? "").match(/^ {2}\w+(<[^(]*>)?\(/gm);

    expect(body).toBeDefined();
    expect(methods?.length ?? 0).toBeGreaterThan(0);
    expect(methods?.length ?? 0).toBeLessThanOrEqual(5);
  });

  // A product of its own file, another function in a file of products, and a descriptor that leaves one out were each planted.
  it.each(lockProducts())("the lock product %s of %s is described for the lock suites", (name, path) => {
    const descriptors = TESTS.filter((file) => file.path.startsWith("test/lock/products/"));
    const described = descriptors.flatMap((file) => [file, ...importsOf(file, TESTS)]);
    // Its leases are gone with its process, and nothing else of it can fail: it has a contract to keep, and that is all.
    if (name === "memoryLock") expect(isTestedBy(path, "lockConformance(")).toBe(true);
    else expect(described.filter((file) => importsByName(file, name, path)).map((file) => file.path)).not.toEqual([]);
  });

  it.each(["conformance", "faults-holders", "faults-servers"])(
    "the lock suite %s runs every product that is described",
    (suite) => {
      const text = TESTS.find((file) => file.path === `test/lock/${suite}.test.ts`)?.text ?? "";

      expect(text).toMatch(/await lockProducts\(\)\)?[^;]*;\n/);
      expect(text).toMatch(/for \(const (bed of beds|product of products)\) (\{|describe)/);
    },
  );

  it.each(products("src/ledger", "Ledger"))("the ledger %s is in the ledger conformance suite", (path) => {
    expect(isTestedBy(path, "ledgerConformance(")).toBe(true);
  });

  it.each(products("src/ledger", "DeadLetters"))("the dead letters of %s are in their conformance suite", (path) => {
    expect(isTestedBy(path, "deadLettersConformance(")).toBe(true);
  });

  // Imports whose test calls no suite were planted.
  it.each(products("src/ledger", "Imports"))("the imports of %s are in their conformance suite", (path) => {
    expect(isTestedBy(path, "importsConformance(")).toBe(true);
  });

  // An adapter without a suite, and a suite with another adapter's set-ups, were each planted.
  it.each(queueAdapters())("the queue adapter %s has set-ups that the queue conformance suite runs", (path) => {
    const setups = importersOf(path, TESTS).filter((file) => /readonly QueueSetup\[\] =/.test(file.text));

    expect(
      setups.filter(
        (file) => isTestedBy(file.path, "for (const setup of ") && isTestedBy(file.path, "queueConformance(setup)"),
      ),
    ).not.toEqual([]);
  });

  // A target without beds, and beds that no suite runs, were each planted.
  it.each(targets())("the target %s has beds that the target conformance suite runs", (path) => {
    const beds = importersOf(path, TESTS).filter((file) => /Beds: readonly .* = \[/.test(file.text));

    expect(beds.filter((file) => isTestedBy(file.path, "targetConformance(name, open)"))).not.toEqual([]);
  });

  it("finds the products itself", () => {
    expect(targets()).toEqual(["src/outbox/amqplib.ts", "src/outbox/bullmq.ts"]);
    expect(queueAdapters()).toEqual(["src/queue/amqplib.ts", "src/queue/bullmq.ts"]);
    expect(products("src/lock", "LockBackend")).toEqual(expect.arrayContaining(["src/lock/memory.ts", "src/lock/redlock.ts"]));
    expect(products("src/ledger", "Ledger")).toEqual(["src/ledger/memory.ts", "src/ledger/postgres.ts"]);
    expect(products("src/ledger", "DeadLetters")).toEqual([
      "src/ledger/memory-dead-letters.ts",
      "src/ledger/postgres-dead-letters.ts",
    ]);
    expect(products("src/ledger", "Imports")).toEqual(["src/ledger/memory-imports.ts", "src/ledger/postgres-imports.ts"]);
  });
});

describe("the tests", () => {
  it("all run: none is skipped, left for later or run alone", () => {
    const idle = /\b(it|test|describe)\.(skip|only|todo|skipIf|runIf)\b/;

    expect(
      TESTS.filter((file) => file.path !== "test/architecture.test.ts" && idle.test(file.text)).map((f) => f.path),
    ).toEqual([]);
  });

  it("judge histories by nothing that they judge: the checker imports neither the library nor other tests", () => {
    const checker = TESTS.filter(({ path }) => path.startsWith("test/checker/"));
    const foreign = checker.flatMap(({ path, imports }) =>
      imports
        .filter(({ target }) => /^(src|test|bench)\//.test(target) && !target.startsWith("test/checker/"))
        .map(({ target }) => [path, target]),
    );

    expect(checker.length).toBeGreaterThan(0);
    expect(foreign).toEqual([]);
  });
});

describe("the package", () => {
  const manifest = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));

  it("asks for every client as an optional peer", () => {
    const peers = Object.keys(manifest.peerDependencies);

    expect(peers.sort()).toEqual(["amqplib", "bullmq", "ioredis", "mysql2", "node-zookeeper-client", "pg", "redlock"]);
    expect(peers.every((peer) => manifest.peerDependenciesMeta[peer].optional)).toBe(true);
  });

  it("has an entry for each file it exports, and names none that is not there", () => {
    const targets = Object.values<string | { default: string }>(manifest.exports)
      .map((target) => (typeof target === "string" ? target : target.default))
      .filter((target) => target.startsWith("./dist/"))
      .map((target) => target.replace("./dist/", "src/").replace(/\.js$/, ".ts"));
    const brokersAndLocks = products("src/lock", "LockBackend").concat("src/index.ts", "src/queue/bullmq.ts");

    expect(targets.filter((target) => !existsSync(join(ROOT, target)))).toEqual([]);
    expect(brokersAndLocks.filter((file) => !targets.includes(file))).toEqual([]);
  });
});

function folderOf(path: string): string {
  return /^src\/([^/]+)\//.exec(path)?.[1] ?? "";
}

function isAllowed(file: SourceFile, target: string): boolean {
  if (file.path === "src/index.ts") return !/^src\/(queue|cli)\//.test(target);
  if (LEAVES.includes(file.path)) return LEAVES.includes(target);
  const folder = folderOf(file.path);
  if (LEAVES.includes(target) || folderOf(target) === folder) return true;
  return (MAY_IMPORT[folder] ?? []).some((allowed) => target.startsWith(`src/${allowed}`));
}

/** A product may be split: `redlock.ts` and `redlock-scripts.ts` are one. */
function isPartOf(path: string, target: string): boolean {
  const product = (name: string): string => name.replace(/^src\/lock\//, "").replace(/(-[\w-]+)?\.ts$/, "");
  return target === "src/lock/lock.ts" || product(path) === product(target);
}

function isPackage(target: string): boolean {
  return !target.startsWith("src/") && !target.startsWith("node:") && !builtinModules.includes(target);
}

/** Files of a folder that export a function which returns the contract. */
function products(folder: string, contract: string): string[] {
  const returnsIt = new RegExp(`export (async )?function \\w+\\([\\s\\S]*?\\): (Memory)?${contract}\\b`);
  return SOURCES.filter((file) => file.path.startsWith(`${folder}/`) && returnsIt.test(file.text)).map((file) => file.path);
}

/** Files that export a target of messages, but for the one that chooses among them. */
function targets(): string[] {
  return products("src/outbox", "MessageTarget").filter((path) => path !== "src/outbox/target-of.ts");
}

/** Files that export a `withClaim` of their own. */
function queueAdapters(): string[] {
  const adapters = SOURCES.filter(
    (file) => file.path.startsWith("src/queue/") && /^export function withClaim\b/m.test(file.text),
  );
  return adapters.map((file) => file.path);
}

function importersOf(path: string, among: readonly SourceFile[]): readonly SourceFile[] {
  return among.filter((other) => other.imports.some(({ target }) => target === path));
}

/** Every exported function that makes a lock back-end: its name and file. A file may have several. */
function lockProducts(): (readonly [name: string, path: string])[] {
  return SOURCES.filter((file) => file.path.startsWith("src/lock/")).flatMap((file) =>
    file.text
      .split(/^export (?:async )?function /m)
      .slice(1)
      .filter((text) => /\): (\S.*) \{$/m.exec(text)?.[1] === "LockBackend")
      .map((text) => [/^\w+/.exec(text)?.[0] ?? "", file.path] as const),
  );
}

function importsOf(file: SourceFile, among: readonly SourceFile[]): readonly SourceFile[] {
  return among.filter((other) => file.imports.some(({ target }) => target === other.path));
}

/** Whether the file imports something of that name, or under another name, from the file at `path`. */
function importsByName(file: SourceFile, name: string, path: string): boolean {
  const statements = [...file.text.matchAll(/^import \{([^}]*)\} from "([^"]+)"/gm)];
  return statements.some(
    ([, names = "", target = ""]) =>
      normalize(join(dirname(file.path), target)) === path &&
      names.split(",").some((each) => each.trim().split(" ")[0] === name),
  );
}

function isTestedBy(path: string, suite: string): boolean {
  return TESTS.some(
    (test) => test.path.endsWith(".test.ts") && test.text.includes(suite) && test.imports.some(({ target }) => target === path),
  );
}

function reachable(entry: string): ReadonlySet<string> {
  const seen = new Set<string>();
  const visit = (path: string): void => {
    if (seen.has(path)) return;
    seen.add(path);
    const file = SOURCES.find((source) => source.path === path);
    for (const { target, typeOnly } of file?.imports ?? []) if (!typeOnly && !target.startsWith("node:")) visit(target);
  };
  visit(entry);
  return seen;
}

function findCycle(files: readonly SourceFile[]): string | undefined {
  const byPath = new Map(files.map((file) => [file.path, file]));
  const done = new Set<string>();
  const visit = (path: string, trail: readonly string[]): string | undefined => {
    if (trail.includes(path)) return [...trail.slice(trail.indexOf(path)), path].join(" -> ");
    if (done.has(path)) return undefined;
    for (const { target } of byPath.get(path)?.imports ?? []) {
      const cycle = visit(target, [...trail, path]);
      if (cycle !== undefined) return cycle;
    }
    done.add(path);
    return undefined;
  };
  for (const file of files) {
    const cycle = visit(file.path, []);
    if (cycle !== undefined) return cycle;
  }
  return undefined;
}

function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, "").replace(/^\s*\/\/.*$/gm, "");
}
