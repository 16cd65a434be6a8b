import { connect } from "amqplib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Interrupted } from "../../src/cli/exit-codes.ts";
import { startCutProxy } from "../support/cut-proxy.ts";
import { rabbitmqUrl } from "../support/rabbitmq.ts";
import { employees, type ImportFixture, importFixture } from "./import-fixture.ts";

let fixture: ImportFixture;
beforeAll(async () => {
  fixture = await importFixture();
});
afterAll(() => fixture.close());

describe("exclaim import", () => {
  it("F publishes each row's mapped columns, and exits with 1 where rows were rejected", async () => {
    const file = await fixture.file(
      "staff.csv",
      'Staff No,E-Mail,Salary\r\n7,"a@example.org",1\r\n8,b@example.org,2\r\n9\r\n7,c@x,3\r\n',
    );

    const { code, stdout, stderr } = await fixture.line([
      ...["import", file, "--id", "staff", "--key", "Staff No", "--map", "Staff No=id", "--map", "E-Mail=email", "--json"],
      ...fixture.to,
    ]);

    expect(code).toBe(1);
    expect(JSON.parse(stdout)).toEqual({
      id: "staff",
      status: "published",
      resumed: false,
      rows: 4,
      published: 2,
      rejected: 1,
      duplicated: 1,
      file,
      durationMs: expect.any(Number),
    });
    expect(stdout.split("\n")).toHaveLength(2);
    expect((await fixture.queue.getJob("imp-staff-7"))?.data).toEqual({ id: "7", email: "a@example.org" });
    expect((await fixture.queue.getJob("imp-staff-8"))?.opts.attempts).toBe(3);
    expect(stderr).toContain("exclaim import report staff --state rejected");
    expect(stderr).not.toContain("\u001b");
  });

  it("F tells in a line of text how it went, and of NDJSON publishes the row as it is", async () => {
    const file = await fixture.file("staff.ndjson", '{"id":1,"tags":["a"]}\n{"id":"2"}\n');

    const { code, stdout } = await fixture.line([
      "import",
      file,
      "--id",
      "nd",
      "--key",
      "id",
      "--attempts",
      "7",
      ...fixture.to,
    ]);

    expect(code).toBe(0);
    expect(stdout).toBe("import nd: 2 rows, 2 published by this run\nexclaim import status nd says what becomes of them\n");
    const job = await fixture.queue.getJob("imp-nd-1");
    expect(job).toMatchObject({ data: { id: 1, tags: ["a"] }, opts: { attempts: 7 } });
  });

  it("F shows a bar on a terminal", async () => {
    const file = await fixture.file("bar.csv", employees(3));

    const { stderr } = await fixture.line(["import", file, "--key", "id", ...fixture.to], { typed: "" });

    expect(stderr).toContain("\r\u001b[K[####################] 100 % read, 3 rows");
  });

  // Planted: a resume that begins an import anew.
  it.each([
    ["SIGINT", 130],
    ["SIGTERM", 143],
  ] as const)("F ends on a chunk at %s, with code %i, and resume needs nothing but its id", async (signal, expected) => {
    const id = `broken-${signal}`;
    const file = await fixture.file(`${id}.csv`, employees(60));
    const interrupt = new AbortController();

    const stopped = await fixture.line(
      ["import", file, "--id", id, "--key", "id", "--map", "id", "--chunk", "10", ...fixture.to],
      {
        typed: "",
        signal: interrupt.signal,
        onStderr: (text) => text.includes("% read") && interrupt.abort(new Interrupted(signal)),
      },
    );
    const before = JSON.parse((await fixture.line(["import", "status", id, "--json"])).stdout);
    const resumed = await fixture.line(["import", "resume", id, "--json"]);
    const again = await fixture.line(["import", "resume", id]);

    expect(stopped).toMatchObject({
      code: expected,
      stdout: "",
      stderr: expect.stringContaining(`exclaim import resume ${id}`),
    });
    expect(before).toMatchObject({ state: "stopped", source: file });
    expect(before.rows).toBeLessThan(60);
    expect(resumed.code).toBe(0);
    expect(JSON.parse(resumed.stdout)).toMatchObject({ id, status: "published", resumed: true, rows: 60, duplicated: 0 });
    expect((await fixture.queue.getJob(`imp-${id.replace("-", "--")}-60`))?.data).toEqual({ id: "60" });
    expect(again).toMatchObject({ code: 0, stdout: `import ${id}: every row is with the broker already\n` });
  });

  it("F goes on with the latest unfinished import of a file by --resume, and begins one where there is none", async () => {
    const file = await fixture.file("daily.csv", employees(40));
    const line = ["import", file, "--key", "id", "--chunk", "10", "--resume", "--json", ...fixture.to];
    const interrupt = new AbortController();

    const first = await fixture.line(line, {
      typed: "",
      signal: interrupt.signal,
      onStderr: (text) => text.includes("% read") && interrupt.abort(new Interrupted("SIGINT")),
    });
    const second = await fixture.line(line);
    const third = await fixture.line(line);

    const [one, two, three] = [first, second, third].map(({ stdout }) => JSON.parse(stdout));
    expect([one.status, two.status, three.status]).toEqual(["stopped", "published", "published"]);
    expect(one.id).toMatch(/^daily-[0-9a-f]{6}$/);
    expect(two.id).toBe(one.id);
    expect(three.id).not.toBe(one.id);
  });

  it("F takes no known id without --resume, no other file with it, and no file without the columns that are named", async () => {
    const one = await fixture.file("one.csv", employees(2));
    const other = await fixture.file("other.csv", employees(3));
    const line = ["--id", "known", "--key", "id", ...fixture.to];
    await fixture.line(["import", one, ...line]);

    const known = await fixture.line(["import", one, ...line]);
    const mismatch = await fixture.line(["import", other, ...line, "--resume"]);
    const columns = await fixture.line(["import", one, "--id", "never", "--key", "nr", "--map", "mail", ...fixture.to]);
    const never = await fixture.line(["import", "status", "never"]);

    expect(known).toMatchObject({ code: 2, stderr: expect.stringContaining("there is an import known already") });
    expect(mismatch).toMatchObject({ code: 4, stderr: expect.stringContaining("exclaim: IMPORT_MISMATCH: ") });
    expect(columns).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('no column "nr", "mail"; it has "id", "name", "email"'),
    });
    expect(never).toMatchObject({ code: 1, stderr: expect.stringContaining("exclaim: IMPORT_UNKNOWN: ") });
  });

  it("F stops with 4 once more rows are rejected than --max-rejected allows, and goes on where that was raised", async () => {
    const file = await fixture.file("bad.csv", "id,name\n1,a\n2\n3\n4,d\n");

    const stopped = await fixture.line([
      "import",
      file,
      "--id",
      "bad",
      "--key",
      "id",
      "--max-rejected",
      "1",
      "--json",
      ...fixture.to,
    ]);
    const resumed = await fixture.line(["import", "resume", "bad", "--max-rejected", "2"]);

    expect(stopped.code).toBe(4);
    expect(JSON.parse(stopped.stdout)).toMatchObject({ id: "bad", status: "failed", error: "TOO_MANY_REJECTED" });
    expect(stopped.stderr).toContain("exclaim import resume bad");
    expect(resumed).toMatchObject({ code: 1, stdout: expect.stringContaining("4 rows") });
  });

  it("F publishes to RabbitMQ, whose missing queue is told at once", async () => {
    const connection = await connect(rabbitmqUrl());
    const channel = await connection.createChannel();
    const { queue } = await channel.assertQueue("", { autoDelete: true });
    const env = { DATABASE_URL: fixture.env.DATABASE_URL ?? "", AMQP_URL: rabbitmqUrl() };
    const file = await fixture.file("rabbit.csv", employees(2));

    try {
      const { code } = await fixture.line(["import", file, "--id", "rabbit", "--key", "id", "--queue", queue], { env });
      const missing = await fixture.line(["import", file, "--key", "id", "--queue", `${queue}-not`], { env });

      const messages = [await channel.get(queue, { noAck: true }), await channel.get(queue, { noAck: true })];
      expect(code).toBe(0);
      expect(messages.map((message) => (message === false ? "" : message.properties.messageId))).toEqual([
        "imp-rabbit-1",
        "imp-rabbit-2",
      ]);
      expect(missing.code).toBe(3);
      expect(missing.stderr).toContain(`${queue}-not`);
    } finally {
      await connection.close();
    }
  });

  it("F ends with 3 when its connection to RabbitMQ breaks, and a resume publishes the rest", async () => {
    const proxy = await startCutProxy(rabbitmqUrl());
    const connection = await connect(rabbitmqUrl());
    const channel = await connection.createChannel();
    const { queue } = await channel.assertQueue("", { autoDelete: true });
    const DATABASE_URL = fixture.env.DATABASE_URL ?? "";
    const file = await fixture.file("cut.csv", employees(200));

    const line = ["import", file, "--id", "cut", "--key", "id", "--chunk", "10", "--queue", queue];

    try {
      const cut = await fixture.line(line, {
        env: { DATABASE_URL, AMQP_URL: proxy.url },
        typed: "",
        onStderr: (text) => text.includes("% read") && proxy.cut(),
      });
      const resumed = await fixture.line(["import", "resume", "cut"], { env: { DATABASE_URL, AMQP_URL: rabbitmqUrl() } });

      expect(cut).toMatchObject({ code: 3, stdout: "", stderr: expect.stringContaining("exclaim import resume cut") });
      expect(cut.stderr).toContain("exclaim: BROKER_UNREACHABLE: ");
      expect(resumed).toMatchObject({ code: 0, stdout: expect.stringContaining("200 rows") });
      expect((await channel.checkQueue(queue)).messageCount).toBeGreaterThanOrEqual(200);
    } finally {
      await connection.close();
      await proxy.close();
    }
  });

  it.each([
    ["REDIS_URL", "redis://:c4nary77@127.0.0.1:1"],
    ["AMQP_URL", "amqp://me:c4nary77@127.0.0.1:1"],
  ])("tells in one line that the server of %s is not there, without its password, and begins no import", async (name, url) => {
    const file = await fixture.file("nowhere.csv", employees(2));
    const env = { DATABASE_URL: fixture.env.DATABASE_URL ?? "", [name]: url };

    const { code, stdout, stderr } = await fixture.line(["import", file, "--id", "nowhere", "--key", "id", "--queue", "q"], {
      env,
    });
    const verbose = await fixture.line(["import", file, "--key", "id", "--queue", "q", "--verbose"], { env });
    const status = await fixture.line(["import", "status", "nowhere"]);

    expect({ code, stdout }).toEqual({ code: 3, stdout: "" });
    expect(stderr).toMatch(
      new RegExp(`^exclaim: BROKER_UNREACHABLE: the server of ${name} does not answer[^\\n]*ECONNREFUSED[^\\n]*\\n$`),
    );
    expect(stderr + verbose.stderr).not.toContain("c4nary77");
    expect(verbose.stderr).toContain("caused by");
    expect(status.code).toBe(1);
  });
});
