import { isExclaimError } from "../errors.ts";

const MAX_CAUSES = 8;

/** An error in one line; with `isVerbose` its stack too, and those of its causes. */
export function explainError(error: unknown, isVerbose: boolean): string {
  const code = isExclaimError(error) ? `${error.code}: ` : "";
  const line = `exclaim: ${code}${reasonOf(error).replace(/(?<!\s)\s*\n\s*/g, " ")}`;
  return isVerbose ? `${line}\n${stacksOf(error).join("\n")}` : line;
}

/** What an error says; of several that failed together, each. */
export function reasonOf(error: unknown): string {
  if (error instanceof AggregateError && error.message === "") return [...new Set(error.errors.map(reasonOf))].join("; ");
  if (!(error instanceof Error)) return String(error);
  if (error.message !== "") return error.message;
  return "code" in error ? String(error.code) : error.name;
}

/** Stacks alone: what drivers hang on their errors holds statements and their values. */
function stacksOf(error: unknown): string[] {
  const stacks: string[] = [];
  const open: [error: unknown, label: string][] = [[error, ""]];
  for (const [each, label] of open) {
    if (stacks.length > MAX_CAUSES) break;
    stacks.push(label + (each instanceof Error ? (each.stack ?? each.message) : String(each)));
    if (!(each instanceof Error)) continue;
    if (each.cause !== undefined) open.push([each.cause, "caused by "]);
    if (each instanceof AggregateError) open.push(...each.errors.map((one): [unknown, string] => [one, "one of them: "]));
  }
  return stacks;
}
