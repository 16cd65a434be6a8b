import { describe, expect, it } from "vitest";
import { chaosArguments } from "./chaos-arguments.ts";

describe("the arguments of the chaos program", () => {
  it("default to a minute of every broker with every lock", () => {
    expect(chaosArguments([])).toMatchObject({ minutes: 1, seed: 1, episodeMs: 40_000, actions: [], isJson: false });
    expect(chaosArguments([]).brokers).toHaveLength(2);
    expect(chaosArguments([]).locks).toHaveLength(8);
  });

  it("name faults by parts of their names", () => {
    const { actions } = chaosArguments(["--faults", "SIGKILL,answer lost", "--json"]);

    expect(actions).toEqual(["SIGKILL", "lock answer lost", "database answer lost", "broker answer lost"]);
  });

  it.each([
    [["--minuts", "3"], /^Unknown option '--minuts'.* known are --minutes, --seed/],
    [["3"], /^Unexpected argument '3'/],
    [["--minutes"], /--minutes/],
    [["--minutes", "0"], /^--minutes must be a number above 0, and is "0"$/],
    [["--minutes", "ten"], /^--minutes must be a number above 0/],
    [["--seed", ""], /^--seed must be a number above 0/],
    [["--locks", "foo"], /^--locks: "foo" is none of none, redlock, /],
    [["--brokers", "bullmq,kafka"], /^--brokers: "kafka" is none of bullmq, rabbitmq$/],
    [["--faults", "throw,SIGKIL,stal,dorp"], /^--faults: "dorp" is in none of: SIGKILL; /],
    [["--faults", "SIGKILLED"], /^--faults: "SIGKILLED" is in none of: SIGKILL; /],
    [["--keep", "test"], /^--keep: there is something in test already$/],
    [["--faults", ""], /^--faults: "" is in none of/],
  ])("%j are refused in one line", (words, line) => {
    expect(() => chaosArguments(words)).toThrow(line);
  });
});
