import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";
import { LongestFirst } from "./support/longest-first.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
/** For projects whose tests need servers. */
const withServers = { globalSetup: "test/support/global-setup.ts", setupFiles: "test/support/end-with-vitest.ts" };

/** End-to-end tests that count what came of much work, however long it takes: two of them may run at a time. */
const COUNTING = ["demo", "examples", "import", "rabbitmq-faults"].map((name) => `test/e2e/${name}.test.ts`);

/** Tests import the package by its public names and get its sources, so that each module exists once. */
function packageNamesToSources(): { find: RegExp; replacement: string }[] {
  const { exports } = JSON.parse(readFileSync(`${root}package.json`, "utf8"));
  return Object.entries<string | { default: string }>(exports)
    .filter(([, target]) => typeof target === "object")
    .map(([name, target]) => ({
      find: new RegExp(`^exclaim${name.slice(1)}$`),
      replacement: root + (target as { default: string }).default.replace(/^\.\/dist\/(.*)\.js$/, "src/$1.ts"),
    }));
}

export default defineConfig({
  root,
  resolve: { alias: packageNamesToSources() },
  test: {
    // A hook may have to install a server.
    hookTimeout: 120_000,
    testTimeout: 30_000,
    maxWorkers: 3,
    sequence: { sequencer: LongestFirst },
    // Programs that tests start through tsx leave no cache in the temporary folder.
    env: { TSX_DISABLE_CACHE: "1" },
    projects: [
      {
        extends: true,
        test: { name: "architecture", include: ["test/architecture.test.ts"] },
      },
      {
        extends: true,
        test: {
          name: "main",
          include: ["test/**/*.test.ts"],
          exclude: ["test/architecture.test.ts", "test/e2e/**"],
          ...withServers,
        },
      },
      {
        extends: true,
        test: {
          name: "e2e-counting",
          include: COUNTING,
          ...withServers,
          testTimeout: 180_000,
          // After all others: each alone can keep a small machine busy.
          maxWorkers: 2,
          sequence: { groupOrder: 1 },
        },
      },
      {
        extends: true,
        test: {
          name: "e2e",
          include: ["test/e2e/**/*.test.ts"],
          exclude: COUNTING,
          ...withServers,
          testTimeout: 180_000,
          // One at a time, after all others: processes are killed here and clocks matter.
          fileParallelism: false,
          sequence: { groupOrder: 2 },
        },
      },
      {
        extends: true,
        test: {
          name: "types",
          include: [],
          // All other files are checked by `npm run check`.
          typecheck: { enabled: true, only: true, include: ["test/**/*.test-d.ts"], tsconfig: "test/tsconfig.test-d.json" },
        },
      },
    ],
  },
});
