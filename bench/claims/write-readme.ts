/** Writes the tables of the last full `npm run bench` into the README: `npm run readme`. */
import { readFileSync, writeFileSync } from "node:fs";
import { readmeTables } from "./readme-tables.ts";

const file = new URL("../../README.md", import.meta.url);
const text = readFileSync(file, "utf8");
const between = /(<!-- claims tables -->\n)[\s\S]*?(<!-- end of claims tables -->)/;
if (!between.test(text)) throw new Error("The README has no place for the tables.");
writeFileSync(
  file,
  text.replace(between, (_, begin: string, end: string) => `${begin}\n${readmeTables()}\n\n${end}`),
);
