import { existsSync } from "node:fs";
import { join } from "node:path";
import { installPackage, obstacleToInstalling } from "../support/install-package.ts";
import { locateBinaries } from "../support/locate-binaries.ts";

/** Programs that search a model: spin writes a verifier in C, gcc compiles it. */
export interface SpinTools {
  readonly spin: string;
  readonly gcc: string;
}

/**
 * Finds spin and a C compiler, or installs them with apt-get.
 * Throws, saying what to install, where neither is possible.
 */
export async function findSpinTools(): Promise<SpinTools> {
  const spin = await findProgram("spin", "spin");
  const gcc = await findProgram("gcc", "gcc");
  await ensure("the headers of C", "libc6-dev", () => existsSync("/usr/include/stdio.h"));
  return { spin, gcc };
}

async function findProgram(name: string, debianPackage: string): Promise<string> {
  const locate = (): string | undefined => locateBinaries([name], []);
  await ensure(name, debianPackage, () => locate() !== undefined);
  return join(locate() ?? "", name);
}

async function ensure(what: string, debianPackage: string, isThere: () => boolean): Promise<void> {
  if (isThere()) return;
  const obstacle = obstacleToInstalling();
  if (obstacle === undefined) await installPackage(debianPackage, isThere);
  if (isThere()) return;
  const reason = obstacle ?? `the package ${debianPackage} did not bring it`;
  throw new Error(`The models need ${what}, and ${reason}. Install the Debian package ${debianPackage} or the like.`);
}
