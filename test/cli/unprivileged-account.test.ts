import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { unprivilegedAccount } from "../../src/cli/demo/unprivileged-account.ts";

const folders: string[] = [];
afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true });
});

describe("unprivilegedAccount", () => {
  it("is nobody else's where the process is not root", async () => {
    const passwd = await passwdOf("postgres:x:101:104::/var/lib/postgresql:/bin/bash\n");

    expect(unprivilegedAccount(passwd, 1_000)).toBeUndefined();
  });

  it("is postgres for root, where that account exists", async () => {
    const passwd = await passwdOf(
      "root:x:0:0::/root:/bin/bash\nnobody:x:65534:65533::/:/bin/false\npostgres:x:101:104::/:/bin/sh\n",
    );

    expect(unprivilegedAccount(passwd, 0)).toEqual({ uid: 101, gid: 104 });
  });

  it("is nobody for root otherwise", async () => {
    const passwd = await passwdOf("root:x:0:0::/root:/bin/bash\nnobody:x:65534:65533::/:/bin/false\n");

    expect(unprivilegedAccount(passwd, 0)).toEqual({ uid: 65_534, gid: 65_533 });
  });

  it("is never root itself, and a number where no account has a name", async () => {
    const passwd = await passwdOf("root:x:0:0::/root:/bin/bash\npostgres:x:0:0::/:/bin/sh\nnobody:*:-2:-2::/:/bin/false\n");

    expect(unprivilegedAccount(passwd, 0)).toEqual({ uid: 65_534, gid: 65_534 });
    expect(unprivilegedAccount("/nonexistent/passwd", 0)).toEqual({ uid: 65_534, gid: 65_534 });
  });
});

async function passwdOf(text: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "exclaim-passwd-"));
  folders.push(folder);
  const path = join(folder, "passwd");
  await writeFile(path, text);
  return path;
}
