import type { Check, Mutant } from "../mutant.ts";

const contract = (product: string, titles: string): Check => ({
  files: ["test/lock/conformance.test.ts"],
  products: [product],
  titles,
});

/** Of the back-ends that are not Redlock. */
export const mutants: readonly Mutant[] = [
  {
    bug: "Redis: release without comparing the owner",
    file: "src/lock/redis-scripts.ts",
    instead: 'if kind == "string" and redis.call("GET", KEYS[1]) == ARGV[1] then\n  released = redis.call("DEL", KEYS[1])',
    plant: 'if kind == "string" then\n  released = redis.call("DEL", KEYS[1])',
    caughtBy: contract("redis", "L2"),
  },
  {
    bug: "Redis: a writer gets in beside readers",
    file: "src/lock/redis-scripts.ts",
    instead: 'if redis.call("ZCARD", KEYS[1]) > mine then return remaining end',
    plant: "if mine > 1 then return remaining end",
    caughtBy: contract("redis", "L8"),
  },
  {
    bug: "Redis: a late win is not given back",
    file: "src/lock/redis-attempts.ts",
    instead: "if (hasWon && isLate && !wish.isWanted) this.#giveBack(lease);",
    plant: "",
    caughtBy: { files: ["test/lock/redis-late-answers.test.ts"], titles: "L5 L6 an acquire that is not answered in time" },
  },
  {
    bug: "Redlock: a late vote is not given back",
    file: "src/lock/redlock-round.ts",
    instead: 'if (vote === "yes" && this.#script !== RELEASE && !this.#isWanted) void this.#send(RELEASE, node);\n',
    plant: "",
    caughtBy: { files: ["test/lock/redlock-late-answers.test.ts"], titles: "L5 a vote that comes after" },
  },
  {
    bug: "Redlock: half of the votes are enough",
    file: "src/lock/redlock-round.ts",
    instead: "this.#quorum = (cluster.nodes.length + 1) / 2;",
    plant: "this.#quorum = Math.max(1, (cluster.nodes.length - 1) / 2);",
    caughtBy: { files: ["test/lock/redlock-quorum.test.ts"] },
  },
  {
    bug: "Redlock: a quorum that took longer than the ttl is a lease",
    file: "src/lock/redlock-round.ts",
    instead: "return this.#elapsedMs + this.#lease.ttlMs * DRIFT_TTL_FRACTION + DRIFT_MS < this.#lease.ttlMs;",
    plant: "return this.#elapsedMs + DRIFT_TTL_FRACTION + DRIFT_MS < 1_000 * this.#lease.ttlMs;",
    caughtBy: { files: ["test/lock/redlock-late-answers.test.ts"], titles: "L1 a quorum won too late" },
  },
  {
    bug: "PostgreSQL lease row: release without comparing the owner",
    file: "src/lock/postgres-lease-row.ts",
    instead: `select \${this.#parts.schema}.release_lock($1, $2)::int as released`,
    plant: `with gone as (delete from \${this.#parts.schema}.locks where key_hash = $1 and $2::text <> '' returning 1) select count(*)::int as released from gone`,
    caughtBy: contract("postgres-row", "L2"),
  },
  {
    bug: "PostgreSQL lease row: judged before it is locked",
    file: "migrations/0004-locks.sql",
    instead: "if in_the_way is null and is_locked then",
    plant: "if in_the_way is null then",
    caughtBy: { files: ["test/lock/postgres-races.test.ts"] },
  },
  {
    bug: "PostgreSQL lease row: an extension does not look at what it is answered",
    file: "src/lock/postgres-lease-row.ts",
    instead: '.map((answer) => answer === "1");',
    plant: '.map((answer) => answer !== "");',
    caughtBy: contract("postgres-row", "L2 extend"),
  },
  {
    bug: "MySQL lease row: release without comparing the owner",
    file: "src/lock/mysql-statements.ts",
    instead: `and owner = x'\${row.owner}' and leased_until`,
    plant: `and owner <> '\${row.owner}' and leased_until`,
    caughtBy: contract("mysql-row", "L2"),
  },
  {
    bug: "MySQL lease row: everybody wins",
    file: "src/lock/mysql-statements.ts",
    instead: `const isOurs = \`owner = x'\${owner}' or leased_until <= utc_timestamp(6)\`;`,
    plant: `const isOurs = \`owner = x'\${owner}' or leased_until is not null\`;`,
    caughtBy: contract("mysql-row", "L1 acquire of a held key"),
  },
  {
    bug: "etcd: a key is put though others came before",
    file: "src/lock/etcd-line.ts",
    instead: "return transaction(place, [seen, free], [putAs(HELD)], onlyIfFree ? [] : [wait]);",
    plant: "return transaction(place, free === undefined ? [] : [seen], [putAs(HELD)], onlyIfFree ? [] : [wait]);",
    caughtBy: contract("etcd", "L1 L5 of 50 contenders|L1 10 workers"),
  },
  {
    bug: "ZooKeeper: a creation without an answer is looked for once",
    file: "src/lock/zookeeper-places.ts",
    instead: "if (this.#clock.now() < mayComeUntilMs) await this.#untilNextLook();",
    plant: "if (this.#clock.now() < mayComeUntilMs - 1e9) await this.#untilNextLook();",
    caughtBy: {
      files: ["test/lock/zookeeper-lost-answers.test.ts"],
      titles: "L5 a creation that is carried out after it was looked for",
    },
  },
];
