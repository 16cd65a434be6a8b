import type { SelfTime } from "./cpu-profile.ts";

const DIST = new URL("../../../dist/", import.meta.url).href;
const BENCH = new URL("../../", import.meta.url).href;

/**
 * What a function belongs to: `exclaim/ledger` for a folder of the library, `pg` for a package, `node:net` or `node:internal` for Node,
 * `gc` and `idle` for themselves, `native` for what V8 and Node do in C++, system calls included.
 */
export function moduleOf({ name, url }: SelfTime): string {
  if (name === "(idle)") return "idle";
  if (name === "(garbage collector)") return "gc";
  if (url === "") return "native";
  if (url.startsWith("node:")) return url.split("/")[0] ?? url;
  const inside = url.split("node_modules/").at(-1) ?? url;
  if (inside !== url) return /^(?:@[^/]+\/)?[^/]+/.exec(inside)?.[0] ?? inside;
  if (url.startsWith(DIST)) return folderOf(url.slice(DIST.length));
  return url.startsWith(BENCH) ? "bench" : url;
}

function folderOf(path: string): string {
  return path.includes("/") ? `exclaim/${path.split("/")[0]}` : "exclaim";
}

/** Short, as people look it up: `ledger/group-commit.js:40`. */
export function placeOf({ url, line }: SelfTime): string {
  if (url === "") return "";
  const path = url.startsWith(DIST)
    ? url.slice(DIST.length)
    : (url.split("node_modules/").at(-1) ?? url).replace(BENCH, "bench/");
  return `${path.replace(/\?.*$/, "")}:${line}`;
}
