/** Writes the table of lock back-ends into the README: `npm run readme`. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "../support/source-files.ts";
import { capabilityTable } from "./capability-table.ts";

const file = join(ROOT, "README.md");
const text = readFileSync(file, "utf8");
const between = /(<!-- lock table -->\n)[\s\S]*?(<!-- end of lock table -->)/;
if (!between.test(text)) throw new Error("The README has no place for the table.");
writeFileSync(file, text.replace(between, `$1\n${capabilityTable()}\n\n$2`));
