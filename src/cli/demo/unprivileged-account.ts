import { readFileSync } from "node:fs";

/** An account of the operating system. */
export interface Account {
  readonly uid: number;
  readonly gid: number;
}

/** What most systems give to an account that owns nothing. */
const NOBODY: Account = { uid: 65_534, gid: 65_534 };

/**
 * The account a server runs under that refuses to run as root: `postgres` where it exists, else `nobody`.
 * Returns undefined when this process is not root, since then it runs the server as itself. No account is ever made.
 */
export function unprivilegedAccount(
  passwdFile = "/etc/passwd",
  uid: number | undefined = process.getuid?.(),
): Account | undefined {
  if (uid !== 0) return undefined;
  let passwd = "";
  try {
    passwd = readFileSync(passwdFile, "utf8");
  } catch {
    // A system without the file still runs processes under a number.
  }
  return accountOf(passwd, "postgres") ?? accountOf(passwd, "nobody") ?? NOBODY;
}

function accountOf(passwd: string, name: string): Account | undefined {
  const fields = passwd
    .split("\n")
    .find((line) => line.startsWith(`${name}:`))
    ?.split(":");
  const uid = Number(fields?.[2]);
  const gid = Number(fields?.[3]);
  return Number.isInteger(uid) && uid > 0 && Number.isInteger(gid) && gid > 0 ? { uid, gid } : undefined;
}
