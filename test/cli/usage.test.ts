import { describe, expect, it } from "vitest";
import { runLine } from "./run-line.ts";

const COMMANDS = [
  ["migrate"],
  ["import"],
  ["import", "status"],
  ["import", "list"],
  ["import", "report"],
  ["import", "cancel"],
  ["import", "resume"],
  ["claims", "list"],
  ["claims", "show"],
  ["claims", "release"],
  ["outbox", "status"],
  ["outbox", "retry"],
  ["outbox", "dispatch"],
];

describe("the help", () => {
  it("of the program names every command, variable and exit code", async () => {
    const { code, stdout, stderr } = await runLine(["--help"]);

    expect(code).toBe(0);
    expect(stderr).toBe("");
    for (const word of ["migrate", "import", "claims", "outbox", "demo", "DATABASE_URL", "REDIS_URL", "AMQP_URL", "--version"])
      expect(stdout).toContain(word);
    for (const exitCode of ["0", "1", "2", "3", "4", "130, 143, 129"])
      expect(stdout).toMatch(new RegExp(`^ +${exitCode} `, "m"));
  });

  it.each(COMMANDS.map((command) => [command.join(" "), command] as const))(
    "of %s says what it needs",
    async (name, command) => {
      const { code, stdout } = await runLine([...command, "--help"]);

      expect(code).toBe(0);
      expect(stdout).toContain(`Usage: exclaim ${name}`);
      for (const word of ["DATABASE_URL", "--database-url", "--schema", "--verbose"]) expect(stdout).toContain(word);
    },
  );
});

describe("the help of the demo", () => {
  it.each(["--help", "-h"])("names every option, variable and exit code with %s", async (flag) => {
    const { code, stdout } = await runLine(["demo", flag]);

    expect(code).toBe(0);
    for (const word of ["--json", "--verbose", "DATABASE_URL", "REDIS_URL", "AMQP_URL", "130"]) expect(stdout).toContain(word);
    for (const exitCode of [0, 1, 2, 3]) expect(stdout).toMatch(new RegExp(`^ +${exitCode} `, "m"));
  });
});

describe("a command line that is wrong", () => {
  it.each([
    [[], "which command?", "exclaim --help"],
    [["demo", "--jsno"], "--jsno", "exclaim demo --help"],
    [["--json=yes", "demo"], "--json=yes", "exclaim --help"],
    [["imprt"], "unknown command 'imprt'", "exclaim --help"],
    [["claims"], "which command?", "exclaim claims --help"],
    [["claims", "lst"], "unknown command 'lst'", "exclaim claims --help"],
    [["claims", "list", "--limit", "many"], "--limit", "exclaim claims list --help"],
    [["claims", "list", "--status", "gone"], "--status", "exclaim claims list --help"],
    [["migrate", "--frce"], "--frce", "exclaim migrate --help"],
    [["migrate", "--after", "0001-claims-ledger"], "--after goes with --print", "exclaim migrate --help"],
    [["import"], "which file?", "exclaim import --help"],
    [["import", "status"], "missing required argument 'id'", "exclaim import status --help"],
    [
      ["import", "./status", "--queue", "q", "--key", "id", "--redis-url", "redis://127.0.0.1"],
      "status cannot be read",
      "exclaim import --help",
    ],
    [["import", "examples/employees.csv", "--queue", "q"], "--key", "exclaim import --help"],
    [["import", "examples/employees.csv", "--key", "id"], "--queue", "exclaim import --help"],
    [
      ["import", "examples/employees.csv", "--key", "id", "--queue", "q", "--map", "a=b", "--map", "c=b"],
      "two columns",
      "import --help",
    ],
    [["outbox", "retry"], "--all", "exclaim outbox retry --help"],
    [["outbox", "retry", "7"], "7 is no id", "exclaim outbox retry --help"],
    [["import", "list"], "DATABASE_URL", "exclaim import list --help"],
  ])("%j is told in two lines and exits with 2", async (args, problem, help) => {
    const { code, stdout, stderr } = await runLine(args);

    expect(code).toBe(2);
    expect(stdout).toBe("");
    expect(stderr).toContain(problem);
    expect(stderr).toContain(help);
    expect(stderr).toMatch(/^exclaim: .*\n.*--help.*\n$|which command/);
  });

  it("asks which broker where there are two, and takes a flag for an answer", async () => {
    const env = {
      DATABASE_URL: "postgres://127.0.0.1:1/none",
      REDIS_URL: "redis://127.0.0.1:1",
      AMQP_URL: "amqp://127.0.0.1:1",
    };
    const line = ["import", "examples/employees.csv", "--key", "id", "--queue", "q"];

    const undecided = await runLine(line, { env });
    const decided = await runLine([...line, "--broker", "redis"], { env });

    expect(undecided).toMatchObject({ code: 2, stderr: expect.stringContaining("--broker redis or --broker amqp") });
    expect(decided).toMatchObject({ code: 3, stderr: expect.stringContaining("DATABASE_UNREACHABLE") });
  });
});
