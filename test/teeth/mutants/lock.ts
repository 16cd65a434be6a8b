import type { Check, Mutant } from "../mutant.ts";

const MEMORY: Check = { files: ["test/lock/memory.test.ts"] };
const contract = (product: string, titles: string): Check => ({
  files: ["test/lock/conformance.test.ts"],
  products: [product],
  titles,
});

/** Of the back-ends. The memory lock stands for all where the suite is the same for all. */
export const mutants: readonly Mutant[] = [
  {
    bug: "release without comparing the owner",
    file: "src/lock/redlock-scripts.ts",
    instead: 'if holder ~= ARGV[1] then return { redis.call("PTTL", KEYS[1]), holder } end\nredis.call("DEL", KEYS[1])',
    plant: 'redis.call("DEL", KEYS[1])',
    caughtBy: contract("redlock-1", "L2"),
  },
  {
    bug: "extend that takes a lost key again",
    file: "src/lock/redlock-scripts.ts",
    instead:
      'if not holder then return "lost" end\nif holder ~= ARGV[1] then return { redis.call("PTTL", KEYS[1]), holder } end\nredis.call("PEXPIRE"',
    plant:
      'if not holder then redis.call("SET", KEYS[1], ARGV[1], "PX", ARGV[2]) return "yes" end\nif holder ~= ARGV[1] then return { redis.call("PTTL", KEYS[1]), holder } end\nredis.call("PEXPIRE"',
    caughtBy: contract("redlock-1", "L2"),
  },
  {
    bug: "votes got in vain are not given back",
    file: "src/lock/redlock.ts",
    instead: "await round.giveUp();\n",
    plant: "",
    caughtBy: { files: ["test/lock/faults-servers.test.ts"], products: ["redlock-3"], titles: "split vote" },
  },
  {
    bug: "a hung node is waited for without limit",
    file: "src/lock/redlock-round.ts",
    instead: "const cancel = clock.after(this.#timeoutMs, () => clock.after(0, () => this.#decide?.()));",
    plant: "const cancel = (): void => {};",
    caughtBy: { files: ["test/lock/redlock-hung-nodes.test.ts"], titles: "one dead and one hung node" },
  },
  {
    bug: "who asks again with the same owner is refused, so a lost reply orphans the key",
    file: "src/lock/redlock-scripts.ts",
    instead:
      'if holder ~= ARGV[1] then return { redis.call("PTTL", KEYS[1]), holder } end\nredis.call("PEXPIRE", KEYS[1], ARGV[2])\nreturn "yes"`);\n\n/**\n * Lets',
    plant: 'return { redis.call("PTTL", KEYS[1]), holder }`);\n\n/**\n * Lets',
    caughtBy: contract("redlock-1", "L7"),
  },
  {
    bug: "a lock that everybody wins",
    file: "src/lock/redlock-scripts.ts",
    instead: 'if redis.call("SET", KEYS[1], ARGV[1], "NX", "PX", ARGV[2]) then return "yes" end',
    plant: 'if redis.call("SET", KEYS[1], ARGV[1], "PX", ARGV[2]) then return "yes" end',
    caughtBy: { files: ["test/lock/faults-holders.test.ts"], products: ["redlock-1"], titles: "unprotected counter" },
  },
  {
    bug: "a shared lease excludes nothing",
    file: "src/lock/memory.ts",
    instead: 'return one === "exclusive" || other === "exclusive";',
    plant: 'return one === "exclusive" && other === "exclusive";',
    caughtBy: MEMORY,
  },
  {
    bug: "a release wakes the whole crowd",
    file: "src/lock/memory.ts",
    instead: "if (mayWin(state, waiter.owner, waiter.mode)) wake();",
    plant: "if (waiter.owner !== undefined) wake();",
    caughtBy: MEMORY,
  },
  {
    bug: "nobody is woken when the next one gives up its turn",
    file: "src/lock/memory.ts",
    instead: "if (state.line.delete(owner) || wasHeld) wakeNext(state);",
    plant: "state.line.delete(owner);\n      if (wasHeld) wakeNext(state);",
    caughtBy: MEMORY,
  },
  {
    bug: "the order of the line is ignored: whoever asks first wins",
    file: "src/lock/memory.ts",
    instead: "if (waiter === owner) return true;",
    plant: "if (waiter !== undefined) return true;",
    caughtBy: MEMORY,
  },
  {
    bug: "who asks again goes to the end of the line",
    file: "src/lock/memory.ts",
    instead: "place.endsAt = endsAt;\n",
    plant: "place.endsAt = endsAt;\n      state.line.delete(owner);\n",
    caughtBy: MEMORY,
  },
  {
    bug: "a place in the line lasts for ever",
    file: "src/lock/memory.ts",
    instead: "for (const entries of [state.holders, state.line]) {",
    plant: "for (const entries of [state.holders]) {",
    caughtBy: MEMORY,
  },
  {
    bug: "a lease lasts for ever",
    file: "src/lock/redlock-scripts.ts",
    instead: '"NX", "PX", ARGV[2])',
    plant: '"NX")',
    caughtBy: { files: ["test/lock/faults-holders.test.ts"], products: ["redlock-1"], titles: "the holder is killed" },
  },
];
