import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "../support/source-files.ts";

/** The blocks of SECURITY.md that tests apply to servers as they stand there, by the word after the fence. */
export function securityBlock(language: string): string {
  const guide = readFileSync(join(ROOT, "SECURITY.md"), "utf8");
  const block = new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\``, "ms").exec(guide)?.[1];
  if (block === undefined) throw new Error(`SECURITY.md has no block of ${language}.`);
  return block;
}
