import { existsSync } from "node:fs";
import { join, relative, sep } from "node:path";
import { BaseSequencer, type TestSpecification } from "vitest/node";

/**
 * The files that take longest, those first. Vitest knows durations only of a machine that ran the tests before, and elsewhere begins
 * with the largest files; but the longest are small ones that wait for servers, and one that begins last is waited for alone.
 */
const LONGEST: readonly string[] = [
  "test/lock/faults-servers.test.ts",
  "test/lock/faults-holders.test.ts",
  "test/lock/conformance.test.ts",
  "test/support/rabbitmq.test.ts",
  "test/ledger/resource-postgres.test.ts",
  "test/queue/bullmq-conformance.test.ts",
  "test/cli/embedded-postgres.test.ts",
  "test/queue/amqplib-conformance.test.ts",
  "test/lock/zookeeper-ensemble.test.ts",
  "test/ledger/postgres.test.ts",
  "test/lock/etcd-lost-answers.test.ts",
  "test/queue/amqplib-consumer.test.ts",
  "test/queue/amqplib-put-off.test.ts",
  "test/queue/bullmq-outages.test.ts",
  "test/ledger/resource-races.test.ts",
  "test/support/server-process.test.ts",
  "test/lock/etcd-cluster.test.ts",
  "test/ledger/lost-commits.test.ts",
  "test/queue/amqplib-given-up.test.ts",
  "test/e2e/rabbitmq-faults.test.ts",
  "test/e2e/demo.test.ts",
];

/** Begins with the longest files of each group of projects; the others follow in Vitest's own order. Throws when one is not there. */
export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const missing = LONGEST.filter((file) => !existsSync(join(this.ctx.config.root, file)));
    if (missing.length > 0) throw new Error(`Not there, but among the longest test files: ${missing.join(", ")}`);
    const sorted = await super.sort(files);
    return sorted.sort((left, right) => groupOf(left) - groupOf(right) || this.#rank(left) - this.#rank(right));
  }

  #rank({ moduleId }: TestSpecification): number {
    const place = LONGEST.indexOf(relative(this.ctx.config.root, moduleId).replaceAll(sep, "/"));
    return place === -1 ? LONGEST.length : place;
  }
}

function groupOf({ project }: TestSpecification): number {
  return project.config.sequence.groupOrder;
}
