import { readFileSync } from "node:fs";

export interface Account {
  readonly uid: number;
  readonly gid: number;
}

const PREFERRED_NAMES = ["postgres", "nobody"];

/** The account for programs that refuse root: none when we are not root, else `postgres` where it exists, else `nobody`. */
export function unprivilegedAccount(): Account | undefined {
  if (process.getuid?.() !== 0) {
    return undefined;
  }
  const entries = readFileSync("/etc/passwd", "utf8")
    .split("\n")
    .map((line) => line.split(":"));
  for (const name of PREFERRED_NAMES) {
    const entry = entries.find((fields) => fields[0] === name);
    if (entry !== undefined) {
      return { uid: Number(entry[2]), gid: Number(entry[3]) };
    }
  }
  throw new Error("This server refuses to run as root and /etc/passwd has neither postgres nor nobody: add one of them.");
}
